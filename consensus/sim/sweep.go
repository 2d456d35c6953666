package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// sweep is the one crash of a run that has no other fault.
type sweep struct {
	w       *world
	crash   Crash
	write   durableWrite
	mode    crashMode
	victims map[int]*victim // by validator
}

// victim is where a validator is on its way to its crash.
type victim struct {
	first    bool // what comes before the crash is still to come
	seen     int  // writes of the wanted kind
	under    bool // one of them is under way
	struck   bool
	ended    bool
	previous []byte // what the file held
}

// RunCrash carries out one case of the crash sweep: a small chain with a dropped proposal now and then, whose
// validators crash as c says and start again; then everything must be committed. All of Run's checkers judge it, and
// it is a violation if the crash never happens. c must be one of those that ParseCrash reads. The seed of cfg is not
// looked at: a case is one run.
func RunCrash(cfg Config, c Crash) Report {
	cfg.Seed = crashSeed
	s := &sweep{crash: c, write: writeNamed(c.Point), mode: modeNamed(c.Mode), victims: map[int]*victim{1: {}}}
	if c.Who == "f" {
		s.victims[2] = &victim{}
	}
	for _, v := range s.victims {
		v.first = s.write.first != nil
	}
	return perform(cfg, script{
		knobs:  func(w *world) knobs { w.sweep, s.w = s, w; return s.knobs() },
		play:   s.play,
		replay: func(v *Violation) string { return fmt.Sprintf("cairn sim replay --crash %v --rule %v", c, v.Rule) },
	})
}

func (s *sweep) knobs() knobs {
	n := 4
	if s.crash.Who == "f" {
		n = 7
	}
	k := knobs{
		powers: make([]consensus.Power, n), election: s.election(), contiguous: s.w.cfg.Rule.ContiguousRounds(), diskMax: 2 * time.Millisecond, chunk: 16,
		timing: core.Timing{
			Base: 200 * time.Millisecond, Growth: 1.2, Cap: 400 * time.Millisecond, Idle: 300 * time.Millisecond, FutureBound: 5 * time.Second,
		},
		link:     linkKnobs{delay: 10 * time.Millisecond, jitter: 10 * time.Millisecond},
		accounts: 3, load: 200 * time.Millisecond, poolMax: 100,
	}
	for i := range k.powers {
		k.powers[i] = 1
	}
	if s.write.step == string(storage.StepEvidence) {
		k.faulty = []faulty{{n - 1, "equivocator"}}
	}
	return k
}

// election takes turns under two_chain, and goes by reputation under three_chain: so each is swept once. But by reputation
// an equivocator hardly ever leads.
func (s *sweep) election() consensus.Election {
	if s.w.cfg.Rule == consensus.ThreeChain && s.write.step != string(storage.StepEvidence) {
		return consensus.Reputation
	}
	return consensus.RoundRobin
}

const (
	crashSeed    = 1
	crashBy      = 30 * time.Second // of virtual time
	crashedAfter = 600 * time.Millisecond
)

// play waits for the crash, lets the others go on for a while, and demands progress of all.
func (s *sweep) play(w *world) {
	w.pass = func(_, _ *validator, m *consensus.Message) bool { // so that there are timeouts and TCs
		return m.Proposal == nil || m.Round()%6 < 4 || len(w.knobs.faulty) > 0
	}
	w.until("the crash", func() bool {
		if w.now > crashBy {
			w.fail(s.overdue(), "%v is not over after %v%v", s.crash, crashBy, w)
		}
		return s.over()
	})
	end := w.now + crashedAfter
	w.until("the others went on", func() bool { return w.now >= end })
	w.pass = nil
	w.heal()
	w.demandProgress()
	w.chain.checkEnd()
}

func (s *sweep) over() bool {
	for _, v := range s.victims {
		if !v.ended {
			return false
		}
	}
	return true
}

// overdue names what is wrong when the crash is not over: a process that a failed write did not end, or a case that
// proves nothing.
func (s *sweep) overdue() string {
	for _, v := range s.victims {
		if v.struck && s.mode.fails {
			return failedWrite
		}
	}
	return "minimum work"
}

const failedWrite = "C06 failed write"

// reached is called at every instant of every write of v.
func (s *sweep) reached(v *validator, at storagetest.CrashPoint) error {
	victim := s.victims[v.i]
	if victim == nil || victim.struck {
		return nil
	}
	write, mode, occurrence := s.write, s.mode, s.crash.Occurrence
	if victim.first {
		write, mode, occurrence = writeNamed(s.write.first.Point), modeNamed(s.write.first.Mode), s.write.first.Occurrence
	}
	step, found := strings.CutSuffix(string(at), storagetest.Begin)
	if found {
		victim.under = step == write.step && v.phase() == write.phase && (write.holds == nil || write.holds(v))
		victim.previous = v.disk.Durable(step)
		if victim.under {
			victim.seen++
		}
	}
	if !victim.under || victim.seen != occurrence || !strings.HasSuffix(string(at), mode.instant) {
		return nil
	}
	return s.strike(v, write, mode)
}

// strike ends the life of v, or has its device report an error.
func (s *sweep) strike(v *validator, write durableWrite, mode crashMode) error {
	victim := s.victims[v.i]
	s.w.trace.line(s.w.now, v.i, "strike", write.name, " ", mode.name)
	v.dyingAll = s.crash.Who == "all"
	victim.under, victim.seen, victim.struck = false, 0, !victim.first
	if victim.struck {
		s.w.reach("struck " + write.name + "/" + mode.name)
		if store := v.store; v.phase() == running && store.HighTC() != nil && store.HighTC().Round > store.HighQC().Round() {
			s.w.reach("crash with a TC above the QC")
		}
	}
	if !mode.fails {
		v.dying = true
		return storagetest.ErrCrashed
	}
	if mode.instant == storagetest.Synced && write.isFile() {
		v.disk.Set(write.step, victim.previous) // the system has dropped what it could not sync
	}
	v.failing = true
	return errDevice
}

// loses says what a crash of v leaves of what was not synced.
func (s *sweep) loses(v *validator) (keep, torn int) {
	mode := s.mode
	if victim := s.victims[v.i]; victim != nil && victim.first {
		mode = modeNamed(s.write.first.Mode)
	}
	if mode.torn == storagetest.Kept {
		return v.kv.Unsynced(), mode.torn
	}
	return 0, mode.torn
}

// ended is called when a life of v is over, its disks as the next one finds them.
func (s *sweep) ended(v *validator) {
	victim := s.victims[v.i]
	switch {
	case victim == nil:
	case victim.struck:
		victim.ended = true
	case victim.first:
		victim.first = false
		if s.write.step == string(storage.StepPrune) {
			s.w.must(s.plant(v))
		}
	}
}

// plant stores what a leader leaves that proposed two blocks in a round: one that the other's commit does not decide,
// being of a higher round.
func (s *sweep) plant(v *validator) error {
	kv := v.kv.Crash(0, nil) // without the watch
	defer func() { v.kv = kv.Crash(0, v.reached) }()
	store, err := storage.Open(kv, s.w.store)
	if err != nil {
		return err
	}
	tip, err := store.Block(store.Tip().Height)
	if err != nil {
		return err
	}
	header := tip.Block.Header
	header.Round++
	return store.Save([]*consensus.Block{consensus.NewBlock(header, tip.Block.QC, nil)}, nil, nil)
}

// phase tells what v is doing.
func (v *validator) phase() phase {
	switch {
	case v.life == 0:
		return creating
	case v.starting:
		return opening
	}
	return running
}

// create makes the safety record of a new key. After a crash what is left is opened, or else removed and made again:
// the key has never signed.
func (v *validator) create() error {
	initial := safety.Initial(consensus.FirstEpoch)
	err := storage.CreateSafetyRecordIn(v.files(), v.identity(), initial)
	if !v.dying && !v.failing {
		return err
	}
	if err == nil {
		v.w.fail(failedWrite, "validator %d has a safety record whose creation failed", v.i)
	}
	_, torn := v.w.sweep.loses(v)
	v.dying, v.dyingAll, v.failing = false, false, false
	v.disk = v.disk.Crash(torn, v.reached)
	v.w.sweep.ended(v)
	if err = storage.CreateSafetyRecordIn(v.files(), v.identity(), initial); !errors.Is(err, storage.ErrSafetyExists) {
		return err
	}
	record, err := storage.OpenSafetyRecordIn(v.files(), v.identity())
	if err == nil {
		if s := record.State(); s != initial {
			v.w.fail("C07 safety record", "validator %d was created as %+v and opens as %+v", v.i, initial, s)
		}
		return nil
	}
	v.w.reach("record made again")
	v.disk.Set(storage.SafetyFileA, nil)
	v.disk.Set(storage.SafetyFileB, nil)
	return storage.CreateSafetyRecordIn(v.files(), v.identity(), initial)
}

// files is the folder of the safety record, kv the device of the store: watched during a sweep.
func (v *validator) files() storage.Files {
	var files storage.Files = v.disk
	if v.w.sweep != nil {
		files = watchedFiles{v.disk, v}
	}
	if v.w.cfg.Break.Files != nil {
		files = v.w.cfg.Break.Files(files)
	}
	return files
}

func (v *validator) device() storage.KV {
	if v.w.sweep != nil {
		return watchedKV{v.kv, v}
	}
	return v.kv
}

// watchedFiles and watchedKV remember what is being written.
type watchedFiles struct {
	storage.Files
	v *validator
}

// Write implements storage.Files.
func (f watchedFiles) Write(name string, content []byte) error {
	f.v.content = content
	return f.Files.Write(name, content)
}

type watchedKV struct {
	storage.KV
	v *validator
}

// Write implements storage.KV.
func (k watchedKV) Write(b *storage.Batch, sync bool) error {
	k.v.batch = b
	return k.KV.Write(b, sync)
}
