package main

import (
	"fmt"
	"strconv"
	"time"
)

// Cell is one entry of the matrix: a network, and a load on it that is run several times.
type Cell struct {
	Name       string  `json:"name"`
	Group      string  `json:"group"` // the table it stands in
	Validators int     `json:"validators"`
	Mode       string  `json:"mode"`             // closed or open
	Window     int     `json:"window,omitempty"` // of the closed loop
	Rate       float64 `json:"rate,omitempty"`   // of the open loop
	Accounts   int     `json:"accounts"`
	Via        string  `json:"via,omitempty"`
	// Kill is after how much of the warm-up one validator is killed with kill -9; 0: never.
	Kill time.Duration `json:"killAfterNs,omitempty"`
	// Overload is how many times what the chain takes is offered; the rate is measured first. 0: the rate is Rate.
	Overload float64       `json:"overload,omitempty"`
	Warmup   time.Duration `json:"warmupNs"`
	Duration time.Duration `json:"durationNs"`
	Runs     int           `json:"runs"`
}

// The groups, in the order of the page.
const (
	groupLatency  = "latency"
	groupCapacity = "capacity"
	groupCrash    = "crash"
	groupOverload = "overload"
	groupScaling  = "scaling"
	groupAccounts = "accounts"
)

const (
	// accountRoom is how many transactions of one account cairn load has pending at most.
	accountRoom = 64
	// crashSettles is how long after a kill nothing is measured, and crashMeasured how long it is after that.
	crashSettles, crashMeasured = 10 * time.Second, time.Minute
	// overloadTimes is what is offered in the overload, in times of what the chain takes.
	overloadTimes = 5
	// saturation is the window of the closed loop that is called capacity elsewhere than in its own table.
	saturation = 4000
)

// plan returns the cells that are asked for, complete.
func (s settings) plan() []Cell {
	var out []Cell
	for _, c := range s.matrix() {
		if !s.cells.MatchString(c.Name) {
			continue
		}
		if c.Validators == 0 {
			c.Validators = 4
		}
		if c.Warmup == 0 {
			c.Warmup = s.warmup
		}
		if c.Duration == 0 {
			c.Duration = s.duration
		}
		if s.quick {
			c.Warmup, c.Duration = min(c.Warmup, s.warmup+c.Kill), s.duration
		}
		c.Runs, c.Via = s.runs, s.via
		out = append(out, c)
	}
	return out
}

// matrix is every cell there is.
func (s settings) matrix() []Cell {
	cells := []Cell{
		open(groupLatency, "open-50", 50, 100),
		open(groupLatency, "open-2000", 2000, 1000),
		open(groupLatency, "open-6000", 6000, 2000),
		closed(groupCapacity, "closed-1000", 1000, 1000),
		closed(groupCapacity, "closed-4000", 4000, 2000),
		closed(groupCapacity, "closed-16000", 16000, 4000),
	}
	for _, load := range []Cell{open(groupCrash, "open-50", 50, 100), closed(groupCrash, "closed", saturation, 2000)} {
		load.Duration, load.Warmup = crashMeasured, s.warmup
		healthy, killed := load, load
		healthy.Name, killed.Name = load.Name+"-healthy", load.Name+"-killed"
		killed.Kill = time.Second
		killed.Warmup = killed.Kill + crashSettles
		cells = append(cells, healthy, killed)
	}
	overload := open(groupOverload, "overload", 0, 4000)
	overload.Overload, overload.Duration = overloadTimes, time.Minute
	if s.long {
		overload.Duration = 10 * time.Minute
	}
	cells = append(cells, overload)
	for _, n := range []int{1, 4, 7, 10} {
		light := open(groupScaling, fmt.Sprintf("validators-%d-open-50", n), 50, 100)
		full := closed(groupScaling, fmt.Sprintf("validators-%d-closed", n), saturation, 2000)
		light.Validators, full.Validators = n, n
		cells = append(cells, light, full)
	}
	for _, n := range []int{10, 1000, 100_000} {
		window := min(saturation, n*accountRoom)
		cells = append(cells, closed(groupAccounts, "accounts-"+strconv.Itoa(n), window, n))
	}
	return cells
}

func open(group, name string, rate float64, accounts int) Cell {
	return Cell{Group: group, Name: name, Mode: "open", Rate: rate, Accounts: accounts}
}

func closed(group, name string, window, accounts int) Cell {
	return Cell{Group: group, Name: name, Mode: "closed", Window: window, Accounts: accounts}
}

// fresh reports whether every run needs a network of its own: those of the cell leave theirs in another state.
func (c Cell) fresh() bool { return c.Kill > 0 || c.Overload > 0 }

// loadArgs are the arguments of cairn load; rate is that of the open loop.
func (c Cell) loadArgs(home string, rate float64) []string {
	args := []string{
		"load", "--home", home, "-o", "json", "--mode", c.Mode, "--accounts", strconv.Itoa(c.Accounts),
		"--warmup", c.Warmup.String(), "--duration", c.Duration.String(),
	}
	if c.Mode == "open" {
		args = append(args, "--rate", strconv.FormatFloat(rate, 'f', -1, 64))
	} else {
		args = append(args, "--window", strconv.Itoa(c.Window))
	}
	if c.Via != "" {
		args = append(args, "--via", c.Via)
	}
	return args
}

// calibration is the load that finds what the chain takes, before an overload.
func (c Cell) calibration() Cell {
	c.Mode, c.Window, c.Overload, c.Duration = "closed", saturation, 0, 10*time.Second
	return c
}

// describe is the load in a few words.
func (c Cell) describe() string {
	switch {
	case c.Overload > 0:
		return fmt.Sprintf("open loop, %g times the capacity, %v", c.Overload, c.Duration)
	case c.Mode == "open":
		return fmt.Sprintf("open loop, %s/s", grouped(c.Rate))
	}
	return fmt.Sprintf("closed loop, window %s", grouped(float64(c.Window)))
}

// What a network and a load take beside what is measured, about.
const (
	startTakes = 4 * time.Second
	loadTakes  = 2 * time.Second
)

func (c Cell) takes() time.Duration {
	run := c.Warmup + c.Duration + loadTakes + time.Duration(c.Accounts)*300*time.Microsecond
	if c.Overload > 0 {
		run += 15 * time.Second
	}
	total := time.Duration(c.Runs) * run
	if c.fresh() {
		return total + time.Duration(c.Runs)*startTakes
	}
	return total + startTakes
}
