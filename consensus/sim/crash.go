package sim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// Crash is one case of the crash sweep: at which write, at which instant of it and in which way a validator's life
// ends, and who else's does.
type Crash struct {
	Point      string // one of CrashPoints
	Mode       string // one of CrashModes
	Who        string // "one"; "f": a third of seven, each at its own write; "all": everybody as soon as one is there
	Occurrence int    // the how manieth such write of the validator, from 1 on
}

// String is what ParseCrash reads: point/mode/who/occurrence.
func (c Crash) String() string {
	return fmt.Sprintf("%s/%s/%s/%d", c.Point, c.Mode, c.Who, c.Occurrence)
}

// ParseCrash reads what String writes; an unknown part is consensus.ErrMalformed.
func ParseCrash(text string) (Crash, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 4 {
		occurrence, err := strconv.Atoi(parts[3])
		c := Crash{Point: parts[0], Mode: parts[1], Who: parts[2], Occurrence: occurrence}
		for _, known := range Crashes() {
			known.Occurrence = occurrence
			if err == nil && occurrence > 0 && c == known {
				return c, nil
			}
		}
	}
	return Crash{}, fmt.Errorf("crash %q is not point/mode/who/occurrence, as safety.b.vote/torn/one/1 is: %w", text, consensus.ErrMalformed)
}

// crashMode is what happens at a write.
type crashMode struct {
	name    string
	instant string // of the write
	torn    int    // what of it a crash leaves, as in storagetest.Disk.Crash; of a batch all or nothing
	fails   bool   // the device reports an error this once, and the process has to end by itself
	files   bool   // only a file can: a batch is written as a whole
}

// tornAfter bytes of a record's new copy stand over the old one: they end within its body.
const tornAfter = 180

var crashModes = []crashMode{
	{name: "begin", instant: storagetest.Begin, torn: storagetest.Lost},
	{name: "lost", instant: storagetest.Written, torn: storagetest.Lost},
	{name: "kept", instant: storagetest.Written, torn: storagetest.Kept},
	{name: "torn", instant: storagetest.Written, torn: tornAfter, files: true},
	{name: "synced", instant: storagetest.Synced, torn: storagetest.Kept},
	{name: "failed-write", instant: storagetest.Written, torn: storagetest.Lost, fails: true},
	{name: "failed-sync", instant: storagetest.Synced, torn: storagetest.Lost, fails: true},
}

// phase is the part of a validator's life in which a write is made.
type phase int

const (
	running  phase = iota
	creating       // of the safety record
	opening        // of the disks
)

// durableWrite is a kind of write that a crash can strike.
type durableWrite struct {
	name  string
	step  string // what is written: a storage.Step, or a file of the safety record
	phase phase
	holds func(*validator) bool // what the write under way must hold; nil: anything
	async bool                  // it is not synced: other writes make it durable
	first *Crash                // the crash that must have come before, so that there is such a write
}

var durableWrites = []durableWrite{
	{name: "safety.a.create", step: storage.SafetyFileA, phase: creating},
	{name: "safety.b.create", step: storage.SafetyFileB, phase: creating},
	{name: "genesis", step: string(storage.StepGenesis), phase: opening},
	{name: "blocks.block", step: string(storage.StepBlocks), holds: puts("u")},
	{name: "blocks.qc", step: string(storage.StepBlocks), holds: puts("mhigh-qc")},
	{name: "blocks.tc", step: string(storage.StepBlocks), holds: puts("mhigh-tc")},
	{name: "commit", step: string(storage.StepCommit)},
	{name: "evidence", step: string(storage.StepEvidence), async: true},
	{name: "safety.a.proposal", step: storage.SafetyFileA, holds: proposes},
	{name: "safety.b.proposal", step: storage.SafetyFileB, holds: proposes},
	{name: "safety.a.vote", step: storage.SafetyFileA, holds: votes},
	{name: "safety.b.vote", step: storage.SafetyFileB, holds: votes},
	{name: "safety.a.timeout", step: storage.SafetyFileA, holds: timesOut},
	{name: "safety.b.timeout", step: storage.SafetyFileB, holds: timesOut},
	{name: "safety.a.repair", step: storage.SafetyFileA, phase: opening, first: &Crash{Point: "safety.a.vote", Mode: "torn", Occurrence: 3}},
	{name: "safety.b.repair", step: storage.SafetyFileB, phase: opening, first: &Crash{Point: "safety.b.vote", Mode: "begin", Occurrence: 3}},
	{name: "prune", step: string(storage.StepPrune), phase: opening, first: &Crash{Point: "commit", Mode: "synced", Occurrence: 2}},
}

// puts reports whether the batch sets a key that begins so.
func puts(prefix string) func(*validator) bool {
	return func(v *validator) bool {
		for _, op := range v.batch.Ops() {
			if !op.Delete && strings.HasPrefix(string(op.Key), prefix) {
				return true
			}
		}
		return false
	}
}

// saving returns the state that is durable, and the one that is on its way to be.
func (v *validator) saving() (now, next safety.State) {
	disk := storagetest.NewDisk(nil)
	disk.Set(storage.SafetyFileA, v.content)
	record, err := storage.OpenSafetyRecordIn(disk, v.identity())
	v.w.must(err)
	return v.record.State(), record.State()
}

func proposes(v *validator) bool {
	now, next := v.saving()
	return next.LastProposed > now.LastProposed
}

func votes(v *validator) bool {
	now, next := v.saving()
	return next.LastVote != nil && (now.LastVote == nil || next.LastVote.Round() > now.LastVote.Round())
}

func timesOut(v *validator) bool {
	now, next := v.saving()
	return next.LastTimeout != nil && (now.LastTimeout == nil || next.LastTimeout.Round > now.LastTimeout.Round)
}

// occurrences of a write that is made again and again; others, and those of a third, are struck the first time.
var occurrences = []int{1, 2, 5}

// Crashes returns all cases of the sweep.
func Crashes() (all []Crash) {
	for _, write := range durableWrites {
		for _, mode := range crashModes {
			if mode.files && !write.isFile() || mode.instant == storagetest.Synced && write.async {
				continue
			}
			for _, who := range []string{"one", "f", "all"} {
				for i, n := range occurrences {
					if i == 0 || write.phase == running && who != "f" {
						all = append(all, Crash{Point: write.name, Mode: mode.name, Who: who, Occurrence: n})
					}
				}
			}
		}
	}
	return all
}

func (d durableWrite) isFile() bool { return strings.HasPrefix(d.step, "safety.") }

func writeNamed(name string) durableWrite {
	for _, d := range durableWrites {
		if d.name == name {
			return d
		}
	}
	panic("sim: no durable write " + name)
}

func modeNamed(name string) crashMode {
	for _, m := range crashModes {
		if m.name == name {
			return m
		}
	}
	panic("sim: no crash mode " + name)
}
