package consensus_test

import (
	"encoding/binary"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical/canonicaltest"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// targets are the fuzz targets of the codecs.
var targets = map[string]string{
	"block info": "FuzzDecodeBlockInfo", "block": "FuzzDecodeBlock", "vote": "FuzzDecodeVote", "quorum certificate": "FuzzDecodeQC",
	"timeout certificate": "FuzzDecodeTC", "timeout": "FuzzDecodeTimeout", "proposal": "FuzzDecodeProposal",
	"compact proposal": "FuzzDecodeCompactProposal",
	"sync info":        "FuzzDecodeSyncInfo", "evidence": "FuzzEvidence", "history": "FuzzDecodeHistory",
}

// TestDecodersAllocateLittle: a false count or length in a message costs its receiver no more memory than a true one.
func TestDecodersAllocateLittle(t *testing.T) {
	most := largest()
	for _, c := range codecs() {
		target, ok := targets[c.name]
		if !ok {
			t.Fatalf("%s has no fuzz target", c.name)
		}
		canonicaltest.Bounded(t, target, append(c.samples, most[c.name]...), func(raw []byte) { _, _ = c.decode(raw) })
	}
}

// largest are encodings of as many parts as there may be: what is small on the wire and large in memory.
func largest() map[string][][]byte {
	c := consensustest.New(1, 1, 1, 1)
	qc := &consensus.QC{Data: c.Data(c.Block(c.GenesisQC(), 1, nil)), Signatures: make([]consensus.SignedBy, consensus.MaxValidators)}
	tc := &consensus.TC{HighQC: qc, Timeouts: make([]consensus.TimedOut, consensus.MaxValidators)}
	for i := range consensus.MaxValidators {
		binary.BigEndian.PutUint32(qc.Signatures[i].Signer[:], uint32(i))
		binary.BigEndian.PutUint32(tc.Timeouts[i].Signer[:], uint32(i))
	}
	empty := c.Block(qc, 2, nil, make([]string, consensus.MaxBlockTransactions)...)
	big := c.Block(qc, 2, nil, string(make([]byte, consensus.MaxTransactionBytes)), string(make([]byte, consensus.MaxTransactionBytes)))
	return map[string][][]byte{
		"block":               {empty.Encode(), big.Encode()},
		"quorum certificate":  {qc.Encode()},
		"timeout certificate": {tc.Encode()},
		"timeout":             {(&consensus.Timeout{QC: qc, TC: tc}).Encode()},
		"proposal":            {(&consensus.Proposal{Block: empty, TC: tc}).Encode()},
		"compact proposal": {
			(&consensus.Proposal{Block: empty, TC: tc}).Compact(everything).Encode(),
			(&consensus.Proposal{Block: empty, TC: tc}).Compact(nothing).Encode(),
		},
		"sync info": {(&consensus.SyncInfo{HighQC: qc, CommitQC: qc, TC: tc}).Encode()},
	}
}
