package engine_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/storage"
)

func (m *member) evidence() (out []storage.EvidenceRecord) {
	m.w.t.Helper()
	r, err := m.store.Snapshot()
	must(m.w.t, err)
	defer r.Release()
	must(m.w.t, r.Evidence(nil, func(e storage.EvidenceRecord) bool { out = append(out, e); return true }))
	return out
}

// voteFor returns a vote by m for a block that does not exist.
func (m *member) voteFor(parent consensus.BlockInfo, id byte) *consensus.Message {
	block := consensus.BlockInfo{
		Epoch: parent.Epoch, Round: parent.Round + 5, ID: consensus.Hash{id}, Height: parent.Height + 1, Timestamp: parent.Timestamp + 1,
	}
	identity := consensus.Identity{ID: m.id, Domain: m.w.genesis.Domain(), Signer: m.signer}
	vote := identity.Vote(&consensus.Vote{Data: consensus.VoteData{Block: block, Parent: parent}}).Get()
	return &consensus.Message{Sync: &consensus.SyncInfo{HighQC: m.w.members[0].engine.Status().HighQC}, Vote: vote}
}

// TestEvidenceIsStored: a validator that votes twice is found by whoever gets both votes, once, and the evidence outlives
// restarts. Nobody else is accused.
func TestEvidenceIsStored(t *testing.T) { underBothRules(t, evidenceIsStored) }

func evidenceIsStored(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	victim, other, culprit := w.members[0], w.members[1], w.members[3]
	culprit.crash()
	count := uint64(0)
	commit := func() {
		for range 6 { // the evidence is durable with what follows
			w.submit(counter.Tx("a", count))
			count++
			w.run("commit", w.everyLiving("a", count))
		}
	}
	commit()
	parent := w.members[0].engine.Status().HighQC.Block()
	one, two := culprit.voteFor(parent, 1), culprit.voteFor(parent, 2)
	attack := func() {
		for _, m := range []*consensus.Message{one, two, one, two} {
			victim.deliver(culprit.id, m)
		}
		other.deliver(culprit.id, one)
		other.deliver(culprit.id, one)
	}
	commit()
	attack()
	commit()
	got := victim.evidence()
	if len(got) != 1 || got[0].Signer != culprit.id || got[0].Round != one.Vote.Round() || got[0].Kind != consensus.VoteEvidence || got[0].Seen == 0 {
		t.Fatalf("evidence %v", got)
	}
	verifier := consensus.Verifier{Domain: w.genesis.Domain(), Set: w.genesis.Validators, Scheme: scheme}
	if _, err := verifier.Evidence(got[0].Evidence); err != nil {
		t.Fatal(err)
	}
	victim.crash()
	victim.start()
	commit()
	attack()
	commit()
	if again := victim.evidence(); len(again) != 1 || again[0].ID() != got[0].ID() || again[0].Seen != got[0].Seen {
		t.Fatalf("after a restart: %v, before %v", again, got)
	}
	if none := other.evidence(); len(none) != 0 {
		t.Fatalf("evidence in one vote: %v", none)
	}
}

// TestHaltKeepsEvidence: two certificates of one round stop the engine, and the evidence against everybody who signed both
// is stored: more than a third.
func TestHaltKeepsEvidence(t *testing.T) { underBothRules(t, haltKeepsEvidence) }

func haltKeepsEvidence(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	w.submit(counter.Tx("a", 0))
	w.run("commit", w.everyLiving("a", 1))
	victim := w.members[0]
	high := victim.engine.Status().HighQC
	data := high.Data
	data.Block.StateRoot[0] ^= 1
	var parts []consensus.SignedBy
	for _, m := range w.members[1:] {
		identity := consensus.Identity{ID: m.id, Domain: w.genesis.Domain(), Signer: m.signer}
		parts = append(parts, consensus.SignedBy{Signer: m.id, Signature: identity.Vote(&consensus.Vote{Data: data}).Get().Signature})
	}
	rival := consensus.NewQC(data, parts)
	task, err := victim.engine.Verify(w.members[1].id, &consensus.Message{Sync: &consensus.SyncInfo{HighQC: rival}})
	must(t, err)
	if err := task(victim.engine); !errors.Is(err, core.ErrConflict) {
		t.Fatalf("the engine goes on: %v", err)
	}
	accused := victim.evidence()
	for _, e := range accused {
		if e.Round != high.Round() || e.Kind != consensus.VoteEvidence || e.Signer == victim.id {
			t.Errorf("evidence %v", e)
		}
	}
	if len(accused) != 2 && len(accused) != 3 { // three of four signed each certificate
		t.Errorf("%d are accused of two QCs", len(accused))
	}
}
