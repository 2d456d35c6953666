package main

import (
	"runtime"
	"testing"
)

// Several nodes in one process, such as those of tests, have as many processors of the scheduler as one.
func TestTuneRuntime(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	want := 2 * runtime.GOMAXPROCS(0)
	for range 3 {
		if tuneRuntime(); runtime.GOMAXPROCS(0) != want {
			t.Errorf("%d, want %d", runtime.GOMAXPROCS(0), want)
		}
	}
	t.Setenv("GOMAXPROCS", "5")
	runtime.GOMAXPROCS(5)
	if tuneRuntime(); runtime.GOMAXPROCS(0) != 5 {
		t.Errorf("%d, want what the environment says", runtime.GOMAXPROCS(0))
	}
}
