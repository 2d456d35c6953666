package node

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// decodeSetting reads a setting as the file, a flag or the environment has it. Strict: each type has its form, and
// nothing is guessed. into points to a field of Settings.
func decodeSetting(into, value any) error {
	switch p := into.(type) {
	case *[]string:
		return decodeList(p, value)
	case *[]PeerEntry:
		return decodePeers(p, value)
	}
	text, err := scalarText(value)
	if err != nil {
		return err
	}
	switch p := into.(type) {
	case *string:
		*p = text
	case *int:
		*p, err = strconv.Atoi(text)
		if err != nil {
			err = fmt.Errorf("%q is no whole number", text)
		}
	case *bool:
		err = decodeBool(p, text)
	case *float64:
		*p, err = strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(*p) || math.IsInf(*p, 0) {
			err = fmt.Errorf("%q is no number", text)
		}
	case *time.Duration:
		*p, err = time.ParseDuration(text)
		if err != nil {
			err = fmt.Errorf("%q is no duration: write a number with its unit, such as 500ms or 10s", text)
		}
	case *Size:
		err = p.UnmarshalText([]byte(text))
	default:
		panic(fmt.Sprintf("node: a setting cannot be of type %T", into))
	}
	return err
}

func decodeBool(into *bool, text string) (err error) {
	if *into, err = strconv.ParseBool(text); err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	return nil
}

func scalarText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(v), nil
	case nil:
		return "", errors.New("has no value")
	}
	return "", fmt.Errorf("want one value, found %s", shape(value))
}

func shape(value any) string {
	switch value.(type) {
	case []any:
		return "a list"
	case map[string]any:
		return "a group"
	}
	return fmt.Sprintf("a %T", value)
}

// decodeList reads a list, or text with commas between the entries.
func decodeList(into *[]string, value any) error {
	*into = nil
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		for _, entry := range strings.Split(v, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				*into = append(*into, entry)
			}
		}
		return nil
	case []any:
		for i, entry := range v {
			text, err := scalarText(entry)
			if err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			*into = append(*into, text)
		}
		return nil
	}
	return fmt.Errorf("want a list, found %s", shape(value))
}

var peerKeys = []string{"name", "public-key", "address"}

func decodePeers(into *[]PeerEntry, value any) error {
	*into = nil
	if value == nil {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("want a list of {name, public-key, address}, found %s", shape(value))
	}
	for i, entry := range list {
		group, ok := entry.(map[string]any)
		if !ok {
			return fmt.Errorf("entry %d: want {name, public-key, address}, found %s", i, shape(entry))
		}
		var p PeerEntry
		targets := map[string]*string{"name": &p.Name, "public-key": &p.PublicKey, "address": &p.Address}
		for key, value := range group {
			target, known := targets[key]
			if !known {
				return fmt.Errorf("entry %d: there is no key %q%s", i, key, didYouMean(key, peerKeys))
			}
			text, err := scalarText(value)
			if err != nil {
				return fmt.Errorf("entry %d: %s: %w", i, key, err)
			}
			*target = text
		}
		*into = append(*into, p)
	}
	return nil
}
