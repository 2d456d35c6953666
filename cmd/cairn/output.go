package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// format is how results are printed.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	if text != string(formatText) && text != string(formatJSON) {
		return fmt.Errorf("want %s or %s", formatText, formatJSON)
	}
	*f = format(text)
	return nil
}

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// print prints a result: as one line of JSON if that is asked for, else what text writes.
func (c *cli) print(result any, text func(w *bytes.Buffer)) error {
	if c.format != formatJSON {
		// In one write, so that a reader sees whole results.
		var b bytes.Buffer
		text(&b)
		_, err := c.out.Write(b.Bytes())
		return err
	}
	line, err := jsonLine(result)
	if err != nil {
		return err
	}
	_, err = c.out.Write(line)
	return err
}

// jsonLine is a value as one line. Messages of the API look as they do over REST.
func jsonLine(value any) ([]byte, error) {
	message, ok := value.(proto.Message)
	if !ok {
		var b bytes.Buffer
		out := json.NewEncoder(&b)
		out.SetEscapeHTML(false)
		err := out.Encode(value)
		return b.Bytes(), err
	}
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	// The spacing of protojson varies on purpose.
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// row is a line of text: what it is about, and the value.
type row struct{ label, value string }

// printRows prints rows with the values below each other. Rows without a value are left out.
func printRows(w *bytes.Buffer, rows ...row) {
	width := 0
	for _, r := range rows {
		width = max(width, len(r.label))
	}
	for _, r := range rows {
		if r.value != "" {
			fmt.Fprintf(w, "%-*s  %s\n", width, r.label, r.value)
		}
	}
}

// printTable prints rows of cells below a header, the columns aligned.
func printTable(w *bytes.Buffer, table [][]string) {
	var widths []int
	for _, cells := range table {
		for i, cell := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, cells := range table {
		var b strings.Builder
		for i, cell := range cells {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// number prints an integer.
func number[N ~uint32 | ~uint64 | ~int | ~int64](n N) string { return fmt.Sprint(n) }
