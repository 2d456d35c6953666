// Package storagetest holds what the tests of storage and the simulator need: a KV and a folder in memory that model
// crashes, and the suite that every KV must pass.
package storagetest

import "errors"

// ErrCrashed is what an operation of a crashed device returns.
var ErrCrashed = errors.New("storagetest: the device crashed")

// CrashPoint names an instant of a write: the name of what is written, a dot, and Begin, Written or Synced. So
// "commit.synced" for a batch of storage.StepCommit, and "safety.a.written" for a file.
type CrashPoint string

// The instants of a write.
const (
	Begin   = ".begin"   // nothing was written
	Written = ".written" // written, not durable
	Synced  = ".synced"  // durable, the caller does not know
)

// Reached is called at each crash point. An error makes the operation fail with it there; the one who returns it then
// crashes the device.
type Reached func(CrashPoint) error

func (r Reached) at(name, instant string) error {
	if r == nil {
		return nil
	}
	return r(CrashPoint(name + instant))
}
