package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/newfile"
)

// CrashesMax is how often in a row a node may end at one height, by a panic or a block that it cannot execute, before it
// no longer starts there: whatever starts it again and again would burn the machine and change nothing.
const CrashesMax = 3

// ErrCrashLoop says that a node ended CrashesMax times at one height. The error that wraps it says what to do.
var ErrCrashLoop = errors.New("crash loop")

// crashRecord counts the ends at one height. It has no bearing on what may be signed.
type crashRecord struct {
	Height  consensus.Height `json:"height"` // of the block that could not be executed; of a panic, the next one
	Count   int              `json:"count"`
	Version string           `json:"version"` // another version may do better, and begins anew
	Left    string           `json:"left"`    // the newest dump, or the output of the newest panic
}

// CrashesFile is where ends at one height are counted.
func (h Home) CrashesFile() string { return h.path("crashes.json") }

// CrashOutputFile is where a process that runs a node lets its runtime write a panic: see runtime/debug.SetCrashOutput.
// What is found there at a start counts as a crash.
func (h Home) CrashOutputFile() string { return h.path("crash.txt") }

func (h Home) crashes() (r crashRecord) {
	if raw, err := os.ReadFile(h.CrashesFile()); err == nil && json.Unmarshal(raw, &r) != nil {
		return crashRecord{}
	}
	return r
}

// crashed counts one more end at this height.
func (h Home) crashed(height consensus.Height, left string) error {
	r := h.crashes()
	if r.Height != height || r.Version != crashVersion() {
		r = crashRecord{Height: height, Version: crashVersion()}
	}
	r.Count++
	r.Left = left
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return newfile.Replace(h.CrashesFile(), append(raw, '\n'), 0o600)
}

func crashVersion() string {
	b := ThisBuild()
	return b.Version + " " + b.Commit
}

// quitPrefix begins what the runtime writes, to the same place, for an operator who ends a process by SIGQUIT to see its
// goroutines.
const quitPrefix = "SIGQUIT"

// keepPanic moves what the last process wrote when it panicked to the dumps, and returns where; empty: it did not panic, or
// was only made to show its goroutines.
func (h Home) keepPanic() (string, error) {
	info, err := os.Stat(h.CrashOutputFile())
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(h.CrashOutputFile())
	if err != nil || bytes.HasPrefix(content, []byte(quitPrefix)) {
		return "", err
	}
	if err := os.MkdirAll(h.DumpsDir(), 0o700); err != nil {
		return "", err
	}
	kept := filepath.Join(h.DumpsDir(), "panic-"+info.ModTime().UTC().Format("20060102T150405.000")+".txt")
	return kept, os.Rename(h.CrashOutputFile(), kept)
}

// checkCrashes counts a panic of the last process, and refuses to go on in a crash loop. It follows the opening of the
// storage, which knows the height.
func (n *Node) checkCrashes() error {
	home, height := n.opts.Home, n.store.Tip().Height
	left, err := home.keepPanic()
	if err != nil {
		return err
	}
	if left != "" {
		n.log.Error("the last process of this node panicked", "output", left, "height", height)
		if err := home.crashed(height+1, left); err != nil {
			return err
		}
	}
	r := home.crashes()
	switch {
	case r.Count == 0:
		return nil
	case n.opts.RetryHeight:
		n.log.Warn("ends at this height are no longer counted", "height", r.Height, "count", r.Count)
		return os.Remove(home.CrashesFile())
	case r.Count < CrashesMax || r.Height <= height || r.Version != crashVersion():
		return nil
	}
	return fmt.Errorf("%w: this node ended %d times in a row at height %d; what it left is in %s. Do what the runbook says of it, "+
		"or start another version; to try this one again: cairn start --retry-height (it forgets %s)",
		ErrCrashLoop, r.Count, r.Height, r.Left, home.CrashesFile())
}

// ended leaves a dump of what ended the node and counts it, when it would come again at the next start.
func (n *Node) ended(err error) error {
	if err == nil {
		return nil
	}
	err = n.keepDump(err)
	// What a disk did is no fault of the block, and is over when the disk or the database is repaired.
	if poison := (*PoisonError)(nil); errors.As(err, &poison) && RefusalOf(err) == StoppedPoison {
		return errors.Join(err, n.opts.Home.crashed(poison.height, poison.Dump))
	}
	return err
}

// CatchPanics has the runtime write a panic of this process to the home's CrashOutputFile, where the next start finds it.
// The function that it returns ends that, and removes the file. For the process that runs one node.
func (h Home) CatchPanics(set func(*os.File) error) (func() error, error) {
	file, err := os.OpenFile(h.CrashOutputFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := set(file); err != nil { // it keeps a file of its own
		return nil, errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(set(nil), os.Remove(h.CrashOutputFile())) }, nil
}
