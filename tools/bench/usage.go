package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used so far; what the system does not tell is nil.
type Usage struct {
	CPU    *time.Duration `json:"cpuNs"`
	MaxRSS *int64         `json:"maxRSSBytes"` // the most memory it had; by ps what it has now
}

// usageOf reads /proc where there is one, else asks ps.
func usageOf(pid int) Usage {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		var u Usage
		u.CPU = parseStat(stat)
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			u.MaxRSS = parseHighWater(status)
		}
		return u
	}
	out, err := exec.Command("ps", "-o", "time=,rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return Usage{}
	}
	return parsePS(string(out))
}

// ticksPerSecond is the unit of the times in /proc: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// parseStat reads the processor time from /proc/PID/stat: user and system time are the 14th and 15th field, counted
// from behind the name, which may hold anything.
func parseStat(stat []byte) *time.Duration {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const user, system = 14 - 3, 15 - 3 // the state is the third
	if len(fields) <= system {
		return nil
	}
	var ticks int64
	for _, text := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil
		}
		ticks += n
	}
	cpu := time.Duration(ticks) * time.Second / ticksPerSecond
	return &cpu
}

// parseHighWater reads VmHWM from /proc/PID/status.
func parseHighWater(status []byte) *int64 {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return nil
		}
		n <<= 10
		return &n
	}
	return nil
}

// parsePS reads "[[days-]hours:]minutes:seconds[.hundredths] kilobytes".
func parsePS(text string) (u Usage) {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return Usage{}
	}
	clock, days := fields[0], 0.0
	if d, rest, ok := strings.Cut(clock, "-"); ok {
		n, err := strconv.Atoi(d)
		if err != nil {
			return Usage{}
		}
		clock, days = rest, float64(n)
	}
	seconds := 0.0
	for _, part := range strings.Split(clock, ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return Usage{}
		}
		seconds = seconds*60 + n
	}
	cpu := time.Duration((days*24*3600 + seconds) * float64(time.Second))
	u.CPU = &cpu
	if kilobytes, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
		kilobytes <<= 10
		u.MaxRSS = &kilobytes
	}
	return u
}
