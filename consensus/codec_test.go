package consensus_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// codec is one pair of Encode and Decode with samples that between them set every field and every presence byte.
type codec struct {
	name    string
	samples [][]byte
	decode  func([]byte) (any, error)
	again   func([]byte) (encoded []byte, value any, err error) // decodes and encodes
	values  []any
}

func codecOf[T any](name string, encode func(T) []byte, decode func([]byte) (T, error), values ...T) codec {
	c := codec{name: name}
	for _, v := range values {
		c.samples = append(c.samples, encode(v))
		c.values = append(c.values, v)
	}
	c.decode = func(raw []byte) (any, error) { return decode(raw) }
	c.again = func(raw []byte) ([]byte, any, error) {
		v, err := decode(raw)
		if err != nil {
			return nil, nil, err
		}
		return encode(v), v, nil
	}
	return c
}

// codecs returns every codec of the package.
func codecs() []codec {
	c := consensustest.New(1, 1, 1, 1)
	genesis := c.GenesisQC()
	b1 := c.Block(genesis, 1, nil, "x", "", "yy")
	qc1 := c.QC(c.Data(b1), 0, 1, 2)
	tc := c.TC(3, qc1, genesis, qc1, nil)
	b4 := c.Block(qc1, 4, nil, "z")
	data4 := c.Data(b4)
	qc4 := c.QC(data4)
	timeout := c.Timeout(2, 4, qc1, tc)
	withVote := c.Identity(1).Timeout(&consensus.Timeout{Round: 2, QC: qc1, Vote: &consensus.Vote{Data: c.Data(c.Block(qc1, 2, nil))}}).Get()
	ending := consensustest.Outcome(b1)
	ending.NextValidators = consensus.Hash{5}
	history := consensus.History{}
	for i := range byte(11) {
		history = history.Append(consensus.HistoryLeaf{ID: consensus.Hash{i}})
	}
	return []codec{
		codecOf("block info", consensus.BlockInfo.Encode, consensus.DecodeBlockInfo, consensus.BlockInfo{}, c.Root, ending),
		codecOf("block", (*consensus.Block).Encode, consensus.DecodeBlock, b1, b4),
		codecOf("vote", (*consensus.Vote).Encode, consensus.DecodeVote, c.Vote(0, c.Data(b1)), c.Vote(3, data4)),
		codecOf("quorum certificate", (*consensus.QC).Encode, consensus.DecodeQC, genesis, qc1, qc4),
		codecOf("timeout certificate", (*consensus.TC).Encode, consensus.DecodeTC, tc, c.TC(1, genesis, genesis, genesis)),
		codecOf("timeout", (*consensus.Timeout).Encode, consensus.DecodeTimeout, timeout, withVote),
		codecOf("proposal", (*consensus.Proposal).Encode, consensus.DecodeProposal, c.Proposal(b1, nil), c.Proposal(b4, tc)),
		codecOf("compact proposal", (*consensus.CompactProposal).Encode, consensus.DecodeCompactProposal,
			c.Proposal(b1, nil).Compact(tiny), c.Proposal(b4, tc).Compact(nothing), c.Proposal(b1, nil).Compact(everything)),
		codecOf("sync info", (*consensus.SyncInfo).Encode, consensus.DecodeSyncInfo,
			&consensus.SyncInfo{HighQC: genesis}, &consensus.SyncInfo{HighQC: qc4, CommitQC: qc1, TC: tc}),
		codecOf("evidence", (*consensus.Evidence).Encode, consensus.DecodeEvidence, evidenceOf(c)...),
		codecOf("history", consensus.History.Encode, consensus.DecodeHistory, consensus.History{}, history),
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range codecs() {
		for i, raw := range c.samples {
			again, value, err := c.again(raw)
			if err != nil {
				t.Errorf("%s %d: %v", c.name, i, err)
			} else if !bytes.Equal(again, raw) || !reflect.DeepEqual(value, c.values[i]) {
				t.Errorf("%s %d came back as %+v", c.name, i, value)
			}
		}
	}
}

// TestDecodersRefuse: what is truncated at any length or has a byte too many is malformed.
func TestDecodersRefuse(t *testing.T) {
	for _, c := range codecs() {
		for i, raw := range c.samples {
			for n := range raw {
				if _, _, err := c.again(raw[:n]); !errors.Is(err, consensus.ErrMalformed) {
					t.Fatalf("%s %d: its first %d of %d bytes: %v", c.name, i, n, len(raw), err)
				}
			}
			if _, _, err := c.again(append(bytes.Clone(raw), 0)); !errors.Is(err, consensus.ErrMalformed) {
				t.Errorf("%s %d with a byte more: %v", c.name, i, err)
			}
		}
	}
}

// TestOneEncoding: no second encoding of a value decodes. Damaged samples either are malformed or decode to what
// encodes to exactly the damaged bytes.
func TestOneEncoding(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	decoded := 0
	for _, c := range codecs() {
		for _, raw := range c.samples {
			for range 2000 {
				damaged := bytes.Clone(raw)
				for range 1 + rng.IntN(3) {
					damaged[rng.IntN(len(damaged))] ^= byte(1 << rng.IntN(8))
				}
				again, _, err := c.again(damaged)
				if err != nil && !errors.Is(err, consensus.ErrMalformed) {
					t.Fatalf("%s: error of another kind: %v", c.name, err)
				}
				if err == nil {
					if decoded++; !bytes.Equal(again, damaged) {
						t.Fatalf("%s: %x and %x are one value", c.name, damaged, again)
					}
				}
			}
		}
	}
	if decoded < 1000 {
		t.Errorf("only %d damaged samples decoded: this proves little", decoded)
	}
}

// TestSignersOrdered: certificates whose signers are not in strictly rising order are malformed.
func TestSignersOrdered(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	b := c.Block(c.GenesisQC(), 1, nil)
	qc := c.QC(c.Data(b))
	swapped := &consensus.QC{Data: qc.Data, Signatures: []consensus.SignedBy{qc.Signatures[1], qc.Signatures[0], qc.Signatures[2]}}
	twice := &consensus.QC{Data: qc.Data, Signatures: []consensus.SignedBy{qc.Signatures[0], qc.Signatures[0], qc.Signatures[2]}}
	for name, q := range map[string]*consensus.QC{"swapped": swapped, "twice": twice} {
		if _, err := consensus.DecodeQC(q.Encode()); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("QC, signers %s: %v", name, err)
		}
	}
	tc := c.TC(2, qc, qc, qc, qc)
	swappedTC := &consensus.TC{Epoch: tc.Epoch, Round: 2, HighQC: qc, Timeouts: []consensus.TimedOut{tc.Timeouts[1], tc.Timeouts[0], tc.Timeouts[2]}}
	twiceTC := &consensus.TC{Epoch: tc.Epoch, Round: 2, HighQC: qc, Timeouts: []consensus.TimedOut{tc.Timeouts[0], tc.Timeouts[1], tc.Timeouts[1]}}
	for name, q := range map[string]*consensus.TC{"swapped": swappedTC, "twice": twiceTC} {
		if _, err := consensus.DecodeTC(q.Encode()); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("TC, signers %s: %v", name, err)
		}
	}
	if shuffled := consensus.NewQC(qc.Data, swapped.Signatures); !reflect.DeepEqual(shuffled.Signatures, qc.Signatures[:3]) {
		t.Error("NewQC does not order the signatures")
	}
}

// TestBlockLimits: each limit at its last value and one above.
func TestBlockLimits(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	payload := func(count, size int) []string {
		txs := make([]string, count)
		for i := range txs {
			txs[i] = string(bytes.Repeat([]byte{'x'}, size))
		}
		return txs
	}
	full := payload(consensus.MaxBlockBytes/consensus.MaxTransactionBytes, consensus.MaxTransactionBytes)
	for name, c2 := range map[string]struct {
		txs []string
		ok  bool
	}{
		"most transactions":      {payload(consensus.MaxBlockTransactions, 1), true},
		"one transaction more":   {payload(consensus.MaxBlockTransactions+1, 1), false},
		"largest transaction":    {payload(1, consensus.MaxTransactionBytes), true},
		"a byte larger":          {payload(1, consensus.MaxTransactionBytes+1), false},
		"largest block":          {full, true},
		"a byte more than it":    {append(full[:len(full):len(full)], "x"), false},
		"an empty one costs 0 B": {append(full[:len(full):len(full)], ""), true},
	} {
		_, err := consensus.DecodeBlock(c.Block(c.GenesisQC(), 1, nil, c2.txs...).Encode())
		if c2.ok && err != nil || !c2.ok && !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSignerLimit: certificates of 256 signers decode, of 257 do not.
func TestSignerLimit(t *testing.T) {
	for _, n := range []int{consensus.MaxValidators, consensus.MaxValidators + 1} {
		qc := &consensus.QC{Signatures: make([]consensus.SignedBy, n)}
		tc := &consensus.TC{HighQC: &consensus.QC{}, Timeouts: make([]consensus.TimedOut, n)}
		for i := range n {
			binary.BigEndian.PutUint32(qc.Signatures[i].Signer[:], uint32(i))
			binary.BigEndian.PutUint32(tc.Timeouts[i].Signer[:], uint32(i))
		}
		_, errQC := consensus.DecodeQC(qc.Encode())
		_, errTC := consensus.DecodeTC(tc.Encode())
		if fits := n <= consensus.MaxValidators; (errQC == nil) != fits || (errTC == nil) != fits {
			t.Errorf("%d signers: %v, %v", n, errQC, errTC)
		}
	}
}

// TestFalseCounts: a count that the input does not hold, within its limit or beyond, is refused without making room.
func TestFalseCounts(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	genesis := c.GenesisQC().Encode()
	block := c.Block(c.GenesisQC(), 1, nil).Encode()
	tc := c.TC(1, c.GenesisQC(), c.GenesisQC(), c.GenesisQC()).Encode()
	tail := 4 + 3*(consensus.ValidatorIDSize+8+signature.Size)
	for _, count := range []uint32{1, consensus.MaxValidators, consensus.MaxValidators + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		put := func(raw []byte, at int) []byte {
			out := bytes.Clone(raw)
			binary.BigEndian.PutUint32(out[at:], count)
			return out[:at+4]
		}
		inputs := map[string]func() error{
			"QC":    func() error { _, err := consensus.DecodeQC(put(genesis, len(genesis)-4)); return err },
			"block": func() error { _, err := consensus.DecodeBlock(put(block, len(block)-4)); return err },
			"TC":    func() error { _, err := consensus.DecodeTC(put(tc, len(tc)-tail)); return err },
		}
		for name, decode := range inputs {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := decode()
			runtime.ReadMemStats(&after)
			if !errors.Is(err, consensus.ErrMalformed) {
				t.Errorf("%s of %d items: %v", name, count, err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
				t.Errorf("%s of %d items: %d bytes allocated", name, count, got)
			}
		}
	}
}

// TestBlockNamesItsPayload: a block whose payload is not its header's does not decode.
func TestBlockNamesItsPayload(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	raw := c.Block(c.GenesisQC(), 1, nil, "x").Encode()
	raw[len(raw)-1] ^= 1
	if _, err := consensus.DecodeBlock(raw); !errors.Is(err, consensus.ErrMalformed) {
		t.Errorf("another transaction: %v", err)
	}
}
