package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// grouped writes a number without fraction, its thousands apart.
func grouped(f float64) string {
	text := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// short writes a number with about three digits.
func short(f float64) string {
	switch a := math.Abs(f); {
	case a >= 100:
		return grouped(f)
	case a >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// spread writes the median of the values, with the least and the greatest in brackets when there are several.
func spread(values []float64) string {
	if len(values) == 0 {
		return unknown
	}
	if len(values) == 1 {
		return short(values[0])
	}
	low, high := slices.Min(values), slices.Max(values)
	return short(median(values)) + " (" + short(low) + "–" + short(high) + ")"
}

// unknown stands for what was not measured or cannot be.
const unknown = "n/a"

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// cpuModel finds the name of the processor in /proc/cpuinfo.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstFields(text string, n int) string {
	fields := strings.Fields(text)
	return strings.Join(fields[:min(n, len(fields))], " ")
}
