package engine_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// TestPayloadOfAProposal: who proposes serves the transactions from the moment the proposal leaves, when its block is not
// stored yet, and after a restart, when it is.
func TestPayloadOfAProposal(t *testing.T) { underBothRules(t, payloadOfAProposal) }

func payloadOfAProposal(t *testing.T, rule consensus.CommitRule) {
	w := newWorld(t, rule, 4)
	var leader *member
	var block *consensus.Block
	ask := func(when string) {
		t.Helper()
		txs, err := leader.engine.Payload(block.ID(), []uint32{0}, 1)
		if err != nil || len(txs) != 1 || string(txs[0]) != string(block.Payload[0]) {
			t.Errorf("%s: %q, %v", when, txs, err)
		}
		if _, err := leader.engine.Payload(block.ID(), []uint32{1}, 1); !errors.Is(err, consensus.ErrInvalid) {
			t.Errorf("%s: a position beyond the payload: %v", when, err)
		}
	}
	w.leaves = func(m *member, msg *consensus.Message) bool {
		if p := msg.Proposal; p == nil || p.Block.IsEmpty() || block != nil {
			return false
		}
		leader, block = m, msg.Proposal.Block
		if _, err := m.store.Payload(block.ID(), []uint32{0}, 1); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the block is stored before its proposal leaves: %v", err)
		}
		ask("as it leaves")
		return false
	}
	w.submit(counter.Tx("a", 0))
	w.run("the proposal is committed", w.everyLiving("a", 1))
	if block == nil {
		t.Fatal("nothing was proposed")
	}
	ask("when it is committed")
	leader.crash()
	leader.start()
	ask("after a restart")
	if _, err := leader.engine.Payload(consensus.Hash{1}, []uint32{0}, 1); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("nobody's block: %v", err)
	}
}
