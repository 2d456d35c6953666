package engine_test

import (
	"bytes"
	"testing"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// copied is what a backup of a member's block store would hold now.
func (m *member) copied() *storagetest.Memory {
	m.w.t.Helper()
	b := storage.NewBatch(storage.StepGenesis)
	must(m.w.t, m.kv.Scan(storage.Range{}, func(key, value []byte) bool {
		b.Put(bytes.Clone(key), bytes.Clone(value))
		return true
	}))
	kv := storagetest.NewMemory(nil)
	must(m.w.t, kv.Write(b, true))
	return kv
}

// TestLostTail: a member crashes at any instant and comes back with the block store of an earlier one, or with none, and its safety
// record as it was: commits that it acknowledged are gone on its disk. It signs nothing twice, the record shows the loss,
// and it catches up and is needed.
func TestLostTail(t *testing.T) { underBothRules(t, lostTail) }

func lostTail(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	next, shown, went := uint64(0), 0, 0
	for crash := range 40 {
		m := w.members[crash%4]
		older := storagetest.NewMemory(nil)
		for part := range 2 {
			for range 4 {
				w.submit(counter.Tx("a", next))
				next++
			}
			steps := 30 + crash*13%97
			w.run("some steps", func() bool { steps--; return steps < 0 })
			if part == 0 && crash%5 > 0 {
				older = m.copied()
			}
		}
		before := m.store.Tip().Height
		m.crash()
		m.kv = older
		m.start()
		if m.store.Tip().Height < before {
			went++
		}
		if m.lost != "" {
			shown++
		}
		w.run("equal counts", w.everyLiving("a", next))
		idle := w.members[(crash+1)%4]
		idle.crash() // its votes count
		w.submit(counter.Tx("a", next))
		next++
		w.run("a commit with its votes", w.everyLiving("a", next))
		idle.start()
		w.run("equal counts again", w.everyLiving("a", next))
	}
	w.checkAgreement()
	t.Logf("of 40 crashes %d lost commits, %d showed in the safety record; %d signatures", went, shown, len(w.signed))
	if went < 20 || shown < 20 || len(w.signed) < 1000 {
		t.Errorf("it lost commits %d times, which showed %d times; %d signatures", went, shown, len(w.signed))
	}
}

// TestDeadVoteIsNotLost: a member that voted on a branch which was decided against says at no start that the block is lost.
func TestDeadVoteIsNotLost(t *testing.T) { underBothRules(t, deadVoteIsNotLost) }

func deadVoteIsNotLost(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	w.submit(counter.Tx("a", 0))
	w.run("a commit", w.everyLiving("a", 1))
	m := w.members[0]
	tip := m.store.Tip()
	below, err := m.store.QuorumCertificate(tip.Height - 1)
	must(t, err)
	dead := consensus.NewBlock(consensus.Header{
		Epoch: tip.Epoch, Round: tip.Round + 20, Height: tip.Height, Parent: below.Block().ID, ParentRound: below.Round(),
		ParentStateRoot: below.Block().StateRoot, Timestamp: tip.Timestamp, Proposer: w.members[1].id,
	}, below, nil)
	m.crash()
	store, err := storage.Open(m.kv, storage.Genesis{Chain: w.genesis})
	must(t, err)
	record, err := storage.OpenSafetyRecordIn(m.disk, m.identity())
	must(t, err)
	must(t, store.Save([]*consensus.Block{dead}, nil, nil))
	state := record.State()
	state.LastVoted = dead.Round
	state.LastVote = &consensus.Vote{Data: consensus.VoteData{
		Block:  consensus.BlockInfo{Epoch: tip.Epoch, Round: dead.Round, ID: dead.ID(), Height: dead.Height, Timestamp: dead.Timestamp},
		Parent: below.Block(),
	}, Signer: m.id}
	must(t, record.Save(state))
	for start := range 3 {
		m.crash()
		m.start()
		if m.lost != "" || m.store.Tip() != tip {
			t.Fatalf("start %d at %v: lost %s", start, m.store.Tip(), m.lost)
		}
	}
}
