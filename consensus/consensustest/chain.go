package consensustest

import (
	"bytes"
	"crypto/sha256"

	"github.com/cairnchain/cairn/consensus"
)

// GenesisQC returns the certificate of the genesis block.
func (c *Committee) GenesisQC() *consensus.QC { return consensus.GenesisQC(c.Root) }

// Block returns a block of the round's leader on what qc certifies, one millisecond younger than its parent. Change
// may alter the header before the block is made; it may be nil. Where its leader chooses who failed, it lets everybody back
// in.
func (c *Committee) Block(qc *consensus.QC, round consensus.Round, change func(*consensus.Header), txs ...string) *consensus.Block {
	parent := qc.Block()
	h := consensus.Header{
		Epoch:           c.Domain.Epoch,
		Round:           round,
		Height:          parent.Height + 1,
		Parent:          parent.ID,
		ParentRound:     parent.Round,
		ParentStateRoot: parent.StateRoot,
		Timestamp:       parent.Timestamp + 1,
		Proposer:        c.ID(c.LeaderOn(parent.ID, round)),
	}
	failed, _ := c.FailedOn(parent.ID, round, h.Timestamp)
	h.Failed = failed
	if change != nil {
		change(&h)
	}
	if bytes.Equal(h.Failed, failed) {
		h.Failed, _ = c.FailedOn(parent.ID, round, h.Timestamp) // the time may have changed
	}
	var payload [][]byte
	for _, tx := range txs {
		payload = append(payload, []byte(tx))
	}
	b := consensus.NewBlock(h, qc, payload)
	c.Know(b)
	return b
}

// Outcome executes a block: the state root is a hash of the parent's state root and the payload. A pure function.
func Outcome(b *consensus.Block) consensus.BlockInfo {
	parent, id := b.QC.Block(), b.ID()
	state := sum("state", parent.StateRoot[:], b.PayloadRoot[:])
	return consensus.BlockInfo{
		Epoch:        b.Epoch,
		Round:        b.Round,
		ID:           id,
		Height:       b.Height,
		StateRoot:    state,
		ReceiptsRoot: sum("receipts", b.PayloadRoot[:]),
		HistoryRoot:  sum("history", parent.HistoryRoot[:], id[:], state[:]),
		Timestamp:    b.Timestamp,
	}
}

func sum(domain string, parts ...[]byte) (out consensus.Hash) {
	h := sha256.New()
	h.Write([]byte(domain))
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(out[:0])
	return out
}

// Data returns what an honest validator votes for a block.
func (c *Committee) Data(b *consensus.Block) consensus.VoteData { return Data(c.Domain.Rule, b) }

// Data returns what an honest validator votes for a block under a rule.
func Data(rule consensus.CommitRule, b *consensus.Block) consensus.VoteData {
	d := consensus.VoteData{Block: Outcome(b), Parent: b.QC.Block()}
	grandparent := b.QC.Data.Parent
	switch consecutive := b.Round == d.Parent.Round+1; {
	case rule == consensus.TwoChain && consecutive:
		d.Commit = d.Parent
	case rule == consensus.ThreeChain && consecutive && d.Parent.Round == grandparent.Round+1:
		d.Commit = grandparent
	}
	return d
}

// Vote returns a vote by validator i.
func (c *Committee) Vote(i int, data consensus.VoteData) *consensus.Vote {
	return c.Identity(i).Vote(&consensus.Vote{Data: data}).Get()
}

// QC returns a certificate for data, signed by the given validators, by all when none is given.
func (c *Committee) QC(data consensus.VoteData, signers ...int) *consensus.QC {
	if len(signers) == 0 {
		signers = c.All()
	}
	var parts []consensus.SignedBy
	for _, i := range signers {
		parts = append(parts, consensus.SignedBy{Signer: c.ID(i), Signature: c.Vote(i, data).Signature})
	}
	return consensus.NewQC(data, parts)
}

// Chain returns blocks of consecutive rounds, starting in the round after qc's, and the QC of the last. Each carries
// one transaction.
func (c *Committee) Chain(qc *consensus.QC, n int) ([]*consensus.Block, *consensus.QC) {
	var blocks []*consensus.Block
	for range n {
		b := c.Block(qc, qc.Round()+1, nil, "tx")
		blocks, qc = append(blocks, b), c.QC(c.Data(b))
	}
	return blocks, qc
}

// Timeout returns a timeout by validator i. Tc and vote may be nil.
func (c *Committee) Timeout(i int, round consensus.Round, qc *consensus.QC, tc *consensus.TC) *consensus.Timeout {
	return c.Identity(i).Timeout(&consensus.Timeout{Round: round, QC: qc, TC: tc}).Get()
}

// TC returns a certificate of round: validator i timed out with qcs[i]; nil entries did not.
func (c *Committee) TC(round consensus.Round, qcs ...*consensus.QC) *consensus.TC {
	var high *consensus.QC
	var parts []consensus.TimedOut
	for i, qc := range qcs {
		if qc == nil {
			continue
		}
		t := c.Timeout(i, round, qc, nil)
		parts = append(parts, consensus.TimedOut{Signer: t.Signer, QCRound: qc.Round(), Signature: t.Signature})
		if high == nil || qc.Round() > high.Round() {
			high = qc
		}
	}
	return consensus.NewTC(c.Domain.Epoch, round, high, parts)
}

// Proposal signs a block for its proposer, who must be a validator.
func (c *Committee) Proposal(b *consensus.Block, tc *consensus.TC) *consensus.Proposal {
	return c.Identity(c.Set.Index(b.Proposer)).Proposal(&consensus.Proposal{Block: b, TC: tc}).Get()
}
