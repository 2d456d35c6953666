package main

import (
	"os"
	"runtime"
)

// tuneRuntime suits Go's scheduler to a validator, unless GOMAXPROCS says otherwise.
//
// A round waits for the device several times. A goroutine that comes back from the device needs a free processor of the
// scheduler; with one for each CPU it queues behind whatever else the node does, with two it competes as a thread.
func tuneRuntime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS() // so that a second call changes nothing
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}
