//go:build e2e

// Package crash makes a process kill itself at a named write of its node, for end-to-end tests. It exists only in builds
// with the tag e2e.
package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/storage"
)

// Mode is the instant of the write at which the process dies.
type Mode string

// The modes. A process that dies takes nothing with it that the system has: what was written is there, synced or not. Torn
// is what a loss of power may leave of a write: the beginning of a file over its old content, or a journal without
// its last bytes.
const (
	Begin   Mode = "begin"
	Written Mode = "written"
	Torn    Mode = "torn"
	Synced  Mode = "synced"
)

// Modes are all modes.
func Modes() []Mode { return []Mode{Begin, Written, Torn, Synced} }

// Points are the writes at which a process can die: the names of the crash points of the simulator, without those of the
// creation of a safety record, which no node does.
func Points() (names []string) {
	for _, w := range writes {
		names = append(names, w.name)
	}
	return names
}

// Plan is where to die: at the how manieth (from 1 on) such write.
type Plan struct {
	Point string
	Mode  Mode
	Hit   int
}

// String is point/mode/hit.
func (p Plan) String() string { return fmt.Sprintf("%s/%s/%d", p.Point, p.Mode, p.Hit) }

// Parse reads what String writes.
func Parse(text string) (Plan, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		hit, err := strconv.Atoi(parts[2])
		p := Plan{parts[0], Mode(parts[1]), hit}
		for _, w := range writes {
			for _, m := range Modes() {
				if err == nil && hit > 0 && w.name == p.Point && m == p.Mode {
					return p, nil
				}
			}
		}
	}
	return Plan{}, fmt.Errorf("crash %q is not point/mode/hit, as safety.b.vote/torn/1 is", text)
}

// Said is what a process writes to standard error before it dies of a plan.
func (p Plan) Said() string { return "crash: " + p.String() }

// write is a kind of durable write.
type write struct {
	name    string
	step    string                        // a storage.Step, or a file of the safety record
	opening bool                          // of a safety record: made when it is opened
	sets    string                        // a key that begins so must be set by the batch; empty: any
	changes func(now, next *changes) bool // of a safety record; nil: anything
}

// changes is what of a safety state tells what a save is for.
type changes struct{ proposed, voted, timedOut uint64 }

func changesOf(s safety.State) *changes {
	c := &changes{proposed: uint64(s.LastProposed)}
	if s.LastVote != nil {
		c.voted = uint64(s.LastVote.Round())
	}
	if s.LastTimeout != nil {
		c.timedOut = uint64(s.LastTimeout.Round)
	}
	return c
}

func proposes(now, next *changes) bool { return next.proposed > now.proposed }
func votes(now, next *changes) bool    { return next.voted > now.voted }
func timesOut(now, next *changes) bool { return next.timedOut > now.timedOut }

var writes = []write{
	{name: "genesis", step: string(storage.StepGenesis)},
	{name: "blocks.block", step: string(storage.StepBlocks), sets: "u"},
	{name: "blocks.qc", step: string(storage.StepBlocks), sets: "mhigh-qc"},
	{name: "blocks.tc", step: string(storage.StepBlocks), sets: "mhigh-tc"},
	{name: "commit", step: string(storage.StepCommit)},
	{name: "evidence", step: string(storage.StepEvidence)},
	{name: "prune", step: string(storage.StepPrune)},
	{name: "safety.a.proposal", step: storage.SafetyFileA, changes: proposes},
	{name: "safety.b.proposal", step: storage.SafetyFileB, changes: proposes},
	{name: "safety.a.vote", step: storage.SafetyFileA, changes: votes},
	{name: "safety.b.vote", step: storage.SafetyFileB, changes: votes},
	{name: "safety.a.timeout", step: storage.SafetyFileA, changes: timesOut},
	{name: "safety.b.timeout", step: storage.SafetyFileB, changes: timesOut},
	{name: "safety.a.repair", step: storage.SafetyFileA, opening: true},
	{name: "safety.b.repair", step: storage.SafetyFileB, opening: true},
}

// device carries a plan out. Safe for concurrent use.
type device struct {
	plan     Plan
	write    write
	identity storage.RecordIdentity
	data     string // folder of the database

	mu     sync.Mutex
	hits   int
	opened bool // the safety record is
}

// Devices makes those of a node that dies by the plan. Errors are those of the home.
func Devices(plan Plan, o node.Options) (node.Devices, error) {
	document, err := o.Home.Genesis()
	if err != nil {
		return node.Devices{}, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return node.Devices{}, err
	}
	passphrase, err := o.Settings.Passphrase()
	if err != nil {
		return node.Devices{}, err
	}
	key, err := o.Home.ValidatorKey(passphrase)
	if err != nil {
		return node.Devices{}, err
	}
	d := &device{
		plan: plan, data: o.Home.DataDir(),
		identity: storage.RecordIdentity{ChainID: genesis.ChainID, Genesis: genesis.Hash(), Key: key.Public()},
	}
	for _, w := range writes {
		if w.name == plan.Point {
			d.write = w
		}
	}
	return node.Devices{Database: d.database, Safety: d.safety}, nil
}

// due counts a write that the plan is about, and reports whether it is the one to die at.
func (d *device) due() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hits++
	return d.hits == d.plan.Hit
}

// die ends the process as kill -9 does.
func (d *device) die() {
	fmt.Fprintln(os.Stderr, d.plan.Said())
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {}
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("crash: %v", err))
	}
}
