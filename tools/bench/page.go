package main

import (
	"fmt"
	"os"
	"strings"
)

// What the tables stand between on the page.
const (
	markBegin = "<!-- bench: what stands between here and the end mark is written by make bench -->"
	markEnd   = "<!-- bench: end -->"
)

// rewritePage replaces what is between the marks of the page.
func rewritePage(path string, results, before *Results) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var tables strings.Builder
	if err := writeTables(&tables, results, before); err != nil {
		return err
	}
	next, err := replaceMarked(string(old), tables.String())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return replaceFile(path, []byte(next))
}

func replaceMarked(page, text string) (string, error) {
	if strings.Count(page, markBegin) != 1 || strings.Count(page, markEnd) != 1 {
		return "", fmt.Errorf("want each of the marks %q and %q once", markBegin, markEnd)
	}
	head, rest, _ := strings.Cut(page, markBegin)
	_, foot, ok := strings.Cut(rest, markEnd)
	if !ok {
		return "", fmt.Errorf("the mark %q stands before the other", markEnd)
	}
	return head + markBegin + "\n\n" + strings.TrimSpace(text) + "\n\n" + markEnd + foot, nil
}
