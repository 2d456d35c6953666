package sim_test

import (
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/consensus/sim"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// TestMutants breaks one thing at a time and wants the named checker to notice within the seeds that it names. A mutant
// that survives means that the checker, or the faults, are too weak.
func TestMutants(t *testing.T) {
	mutants := []struct {
		name      string
		broken    sim.Break
		first     uint64
		last      uint64
		invariant []string // any of them
	}{
		{"votes without saving", sim.Break{Rules: rules(func(r *mutant) { r.vote = unsaved })}, 1, 1, []string{"I6"}},
		{"device lies about syncs", sim.Break{Files: func(f storage.Files) storage.Files { return lying{f} }}, 1, 1, []string{"I6"}},
		{"record forgets on restart", sim.Break{Restart: forget}, 1, 10, []string{"I7"}},
		{"votes twice", sim.Break{Wire: voteTwice}, 1, 1, []string{"I5"}},
		{"votes after its timeout", sim.Break{Wire: voteLate()}, 1, 10, []string{"I5"}},
		{"commits over a gap of rounds", sim.Break{Rules: rules(func(r *mutant) { r.vote = gap })}, 1, 10, []string{"V ", "I3"}},
		{"never times out", sim.Break{Rules: rules(func(r *mutant) { r.timeout = never })}, 5, 20, []string{"L1", "L2", "L3", "L5"}},
		{"burns a coin per block", sim.Break{App: func(a app.App) app.App { return burning{a} }}, 1, 1, []string{"I12"}},
		{"validators disagree", sim.Break{App: disagreeing()}, 1, 1, []string{"I18", "I12", "L"}},
		{"times out with an old QC", sim.Break{Rules: rules(func(r *mutant) { r.timeout = unlocked })}, 100, 160, []string{"I8", "V ", "panic"}},
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for seed := m.first; seed <= m.last; seed++ {
				v := sim.Run(sim.Config{Seed: seed, Rule: consensus.TwoChain, Break: m.broken}).Violation
				if v == nil {
					continue
				}
				for _, want := range m.invariant {
					if strings.HasPrefix(v.Invariant, want) {
						t.Logf("killed by %s, seed %d", v.Invariant, seed)
						return
					}
				}
				t.Fatalf("want %v to notice, got %v", m.invariant, v)
			}
			t.Fatalf("it survived seeds %d to %d", m.first, m.last)
		})
	}
}

// mutant is the real rules with one function put in another's place.
type mutant struct {
	safety.Rules
	vote    func(safety.Rules, safety.State, *consensus.Block, consensus.BlockInfo, *consensus.TC) (safety.State, *consensus.Vote, error)
	timeout func(safety.Rules, safety.State, consensus.Round, *consensus.QC, *consensus.TC) (safety.State, *consensus.Timeout, error)
}

func rules(change func(*mutant)) func(safety.Rules) safety.Rules {
	return func(real safety.Rules) safety.Rules {
		m := &mutant{Rules: real}
		change(m)
		return m
	}
}

func (m *mutant) Vote(s safety.State, b *consensus.Block, outcome consensus.BlockInfo, tc *consensus.TC) (safety.State, *consensus.Vote, error) {
	if m.vote == nil {
		return m.Rules.Vote(s, b, outcome, tc)
	}
	return m.vote(m.Rules, s, b, outcome, tc)
}

func (m *mutant) Timeout(s safety.State, r consensus.Round, qc *consensus.QC, tc *consensus.TC) (safety.State, *consensus.Timeout, error) {
	if m.timeout == nil {
		return m.Rules.Timeout(s, r, qc, tc)
	}
	return m.timeout(m.Rules, s, r, qc, tc)
}

// unsaved leaves the state as it was.
func unsaved(real safety.Rules, s safety.State, b *consensus.Block, outcome consensus.BlockInfo, tc *consensus.TC) (safety.State, *consensus.Vote, error) {
	_, vote, err := real.Vote(s, b, outcome, tc)
	return s, vote, err
}

// gap names the parent as committed whatever the rounds are.
func gap(real safety.Rules, s safety.State, b *consensus.Block, outcome consensus.BlockInfo, tc *consensus.TC) (safety.State, *consensus.Vote, error) {
	next, vote, err := real.Vote(s, b, outcome, tc)
	if err != nil {
		return next, vote, err
	}
	wrong := *vote
	wrong.Data.Commit = wrong.Data.Parent
	next.LastVote = &wrong
	return next, &wrong, nil
}

func never(_ safety.Rules, s safety.State, _ consensus.Round, _ *consensus.QC, _ *consensus.TC) (safety.State, *consensus.Timeout, error) {
	return s, nil, safety.BelowLock
}

// unlocked signs with the TC's QC, however old, in the place of the high QC.
func unlocked(real safety.Rules, s safety.State, r consensus.Round, qc *consensus.QC, tc *consensus.TC) (safety.State, *consensus.Timeout, error) {
	if tc != nil && tc.Round+1 == r {
		qc = tc.HighQC
	}
	locked := s.Locked
	s.Locked = 0
	next, timeout, err := real.Timeout(s, r, qc, tc)
	next.Locked = locked
	return next, timeout, err
}

// lying says that it synced, and did not.
type lying struct{ storage.Files }

func (lying) Sync(string) error { return nil }

// forget replaces the safety record by an empty one.
func forget(disk *storagetest.Disk, id storage.RecordIdentity, epoch consensus.Epoch) {
	disk.Set(storage.SafetyFileA, nil)
	disk.Set(storage.SafetyFileB, nil)
	fresh := storagetest.NewDisk(nil)
	if err := storage.CreateSafetyRecordIn(fresh, id, safety.Initial(epoch)); err != nil {
		panic(err)
	}
	disk.Set(storage.SafetyFileA, fresh.Durable(storage.SafetyFileA))
	disk.Set(storage.SafetyFileB, fresh.Durable(storage.SafetyFileB))
}

// voteTwice adds to each vote one for another outcome of the block.
func voteTwice(key consensus.Identity, m *consensus.Message) []*consensus.Message {
	if m.Vote == nil {
		return []*consensus.Message{m}
	}
	second := *m.Vote
	second.Data.Block.StateRoot[0] ^= 1
	return []*consensus.Message{m, {Sync: m.Sync, Vote: key.Vote(&second).Get()}}
}

// voteLate holds the first vote back until a timeout of its round has left, and never adds it to the timeout.
func voteLate() func(consensus.Identity, *consensus.Message) []*consensus.Message {
	held := map[consensus.ValidatorID]*consensus.Message{}
	return func(key consensus.Identity, m *consensus.Message) []*consensus.Message {
		switch {
		case m.Vote != nil:
			held[key.ID] = m
			return nil
		case m.Timeout != nil && m.Timeout.Vote != nil:
			bare := *m.Timeout
			bare.Vote = nil
			out := []*consensus.Message{{Sync: m.Sync, Timeout: key.Timeout(&bare).Get()}}
			if late := held[key.ID]; late != nil && late.Round() == m.Round() {
				out = append(out, late)
			}
			return out
		}
		return []*consensus.Message{m}
	}
}

// burning takes a coin from the first account that a block with transactions changes.
type burning struct{ app.App }

func (b burning) Execute(s app.State, block app.Block) (app.Result, error) {
	result, err := b.App.Execute(s, block)
	for i, change := range result.Changes {
		if account, err := ledger.DecodeAccount(change.Value); err == nil && account.Balance > 0 {
			account.Balance--
			result.Changes[i].Value = account.Encode()
			break
		}
	}
	return result, err
}

// disagreeing gives every second start of a validator the burning ledger.
func disagreeing() func(app.App) app.App {
	starts := 0
	return func(a app.App) app.App {
		if starts++; starts%2 == 0 {
			return burning{a}
		}
		return a
	}
}
