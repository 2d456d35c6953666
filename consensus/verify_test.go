package consensus_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// naive verifies certificates by the letter of the protocol and one signature at a time. It shares no code with the
// production verifier: not the encoding of what is signed, not the arithmetic.
type naive struct{ c *consensustest.Committee }

func (n naive) signature(by consensus.ValidatorID, message []byte, sig signature.Signature) (consensus.Power, bool) {
	for _, m := range n.c.Set.Members() {
		if m.ID == by {
			return m.Power, n.c.Scheme.Verify([]signature.Item{{Key: m.Key, Message: message, Signature: sig}})
		}
	}
	return 0, false
}

func (n naive) data(d consensus.VoteData) bool {
	e := n.c.Domain.Epoch
	ok := d.Block.Epoch == e && d.Parent.Epoch == e && d.Block.Round > d.Parent.Round &&
		d.Block.Height-1 == d.Parent.Height && d.Block.Timestamp > d.Parent.Timestamp && d.Block.ID != consensus.Hash{}
	if d.Block.Round-1 == d.Parent.Round && n.c.Domain.Rule == consensus.ThreeChain {
		x := d.Commit
		below := d.Parent.Round > 0 && d.Parent.Height > 0 && x.Round == d.Parent.Round-1 && x.Height == d.Parent.Height-1
		return ok && (x == consensus.BlockInfo{} || below && x.Epoch == e && x.ID != consensus.Hash{} && x.Timestamp < d.Parent.Timestamp)
	}
	if d.Block.Round-1 == d.Parent.Round {
		return ok && d.Commit == d.Parent
	}
	return ok && d.Commit == consensus.BlockInfo{}
}

func (n naive) qc(q *consensus.QC) bool {
	if q.Data.Block.Round == 0 {
		return q.Data == consensus.VoteData{Block: n.c.Root, Parent: n.c.Root} && len(q.Signatures) == 0
	}
	message := append(prefix(n.c.Domain, "cairn/vote/v1"), naiveVoteData(q.Data)...)
	var power consensus.Power
	seen := map[consensus.ValidatorID]bool{}
	for _, s := range q.Signatures {
		p, ok := n.signature(s.Signer, message, s.Signature)
		if !ok || seen[s.Signer] {
			return false
		}
		seen[s.Signer] = true
		power += p
	}
	return n.data(q.Data) && isQuorum(power, n.c.Set.TotalPower())
}

func (n naive) tc(t *consensus.TC) bool {
	var power consensus.Power
	var highest consensus.Round
	seen := map[consensus.ValidatorID]bool{}
	for _, part := range t.Timeouts {
		message := prefix(n.c.Domain, "cairn/timeout/v1")
		for _, r := range []consensus.Round{t.Round, part.QCRound} {
			for shift := 56; shift >= 0; shift -= 8 {
				message = append(message, byte(r>>shift))
			}
		}
		p, ok := n.signature(part.Signer, message, part.Signature)
		if !ok || seen[part.Signer] {
			return false
		}
		seen[part.Signer] = true
		power += p
		highest = max(highest, part.QCRound)
	}
	return t.Epoch == n.c.Domain.Epoch && isQuorum(power, n.c.Set.TotalPower()) && n.qc(t.HighQC) &&
		t.HighQC.Data.Block.Round < t.Round && t.HighQC.Data.Block.Round == highest
}

// known are the errors that a verifier may give.
var known = []error{consensus.ErrInvalid, consensus.ErrWrongEpoch, consensus.ErrUnknownSigner, consensus.ErrBadSignature, consensus.ErrNoQuorum}

func isKnown(err error) bool {
	return slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) })
}

// mutateData changes one field of vote data, a little or a lot.
func mutateData(rng *rand.Rand, d *consensus.VoteData) {
	info := []*consensus.BlockInfo{&d.Block, &d.Parent, &d.Commit}[rng.IntN(3)]
	delta := uint64(1)
	if rng.IntN(2) == 0 {
		delta = ^uint64(0)
	}
	switch rng.IntN(10) {
	case 0:
		info.Epoch += consensus.Epoch(delta)
	case 1:
		info.Round += consensus.Round(delta)
	case 2:
		info.ID[rng.IntN(32)] ^= 1
	case 3:
		info.Height += consensus.Height(delta)
	case 4:
		info.StateRoot[0] ^= 1
	case 5:
		info.Timestamp += consensus.Timestamp(delta)
	case 6:
		info.NextValidators[0] ^= 1
	case 7:
		*info = consensus.BlockInfo{}
	case 8:
		d.Commit, d.Parent = d.Parent, d.Commit
	case 9:
		info.HistoryRoot[3] ^= 1
	}
}

// mutateQC damages a certificate: its data with or without new signatures, or its signatures.
func mutateQC(rng *rand.Rand, c, strangers *consensustest.Committee, qc *consensus.QC) *consensus.QC {
	q := &consensus.QC{Data: qc.Data, Signatures: slices.Clone(qc.Signatures)}
	switch k := rng.IntN(8); {
	case k == 0:
		mutateData(rng, &q.Data)
	case k == 1: // validators that signed nonsense
		mutateData(rng, &q.Data)
		return c.QC(q.Data)
	case len(q.Signatures) == 0:
		q.Signatures = append(q.Signatures, consensus.SignedBy{Signer: c.ID(0)})
	case k == 2:
		i := rng.IntN(len(q.Signatures))
		q.Signatures = slices.Delete(q.Signatures, i, i+1)
	case k == 3:
		q.Signatures = append(q.Signatures, q.Signatures[rng.IntN(len(q.Signatures))])
	case k == 4:
		i, j := rng.IntN(len(q.Signatures)), rng.IntN(len(q.Signatures))
		q.Signatures[i].Signature, q.Signatures[j].Signature = q.Signatures[j].Signature, q.Signatures[i].Signature
	case k == 5:
		q.Signatures[rng.IntN(len(q.Signatures))].Signature[rng.IntN(signature.Size)] ^= 1
	case k == 6:
		stranger := rng.IntN(strangers.Len())
		q.Signatures = append(q.Signatures, consensus.SignedBy{Signer: strangers.ID(stranger), Signature: strangers.Vote(stranger, q.Data).Signature})
	case k == 7: // right signatures in another order are right
		rng.Shuffle(len(q.Signatures), func(i, j int) { q.Signatures[i], q.Signatures[j] = q.Signatures[j], q.Signatures[i] })
	}
	return q
}

func mutateTC(rng *rand.Rand, c, strangers *consensustest.Committee, tc *consensus.TC, others []*consensus.QC) *consensus.TC {
	m := &consensus.TC{Epoch: tc.Epoch, Round: tc.Round, HighQC: tc.HighQC, Timeouts: slices.Clone(tc.Timeouts)}
	i := rng.IntN(len(m.Timeouts))
	switch rng.IntN(9) {
	case 0:
		m.Epoch += consensus.Epoch(1 + rng.IntN(2)*-2)
	case 1:
		m.Round += consensus.Round(1 + rng.IntN(2)*-2)
	case 2:
		m.HighQC = others[rng.IntN(len(others))]
	case 3:
		m.HighQC = mutateQC(rng, c, strangers, m.HighQC)
	case 4:
		m.Timeouts = slices.Delete(m.Timeouts, i, i+1)
	case 5:
		m.Timeouts = append(m.Timeouts, m.Timeouts[i])
	case 6:
		m.Timeouts[i].QCRound += consensus.Round(1 + rng.IntN(2)*-2)
	case 7:
		m.Timeouts[i].Signature[rng.IntN(signature.Size)] ^= 1
	case 8: // one who signs another QC round than the rest, rightly
		qc := others[rng.IntN(len(others))]
		who := c.Set.Index(m.Timeouts[i].Signer)
		if who < 0 {
			return m
		}
		t := c.Timeout(who, m.Round, qc, nil)
		m.Timeouts[i].QCRound, m.Timeouts[i].Signature = qc.Round(), t.Signature
	}
	return m
}

// TestVerifierAgainstNaive: on thousands of damaged certificates both verifiers say the same, with and without a cache.
func TestVerifierAgainstNaive(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	verdicts := map[bool]int{}
	for i, powers := range [][]consensus.Power{
		{1, 1, 1, 1}, {1, 1, 1, 1}, {4, 1, 1, 1}, {4, 1, 1, 1}, {1, 2, 3, 4, 5}, {1}, {1}, {3, 3, 3},
	} {
		c := consensustest.NewOf(consensustest.Rule(consensus.CommitRules()[i%2]), powers...)
		strangers := consensustest.NewEd25519(1, 1, 1)
		plain, cached, oracle := c.Verifier(), c.Verifier(), naive{c}
		cached.Cache = cache{}
		blocks, high := c.Chain(c.GenesisQC(), 4)
		qcs := []*consensus.QC{high}
		for _, b := range blocks {
			qcs = append(qcs, b.QC)
		}
		gap := c.Block(high, 9, nil)
		qcs = append(qcs, c.QC(c.Data(gap)))
		for range 1500 {
			qc := qcs[rng.IntN(len(qcs))]
			for range rng.IntN(3) {
				qc = mutateQC(rng, c, strangers, qc)
			}
			parts := make([]*consensus.QC, c.Len())
			for i := range parts {
				parts[i] = qcs[rng.IntN(len(qcs))]
			}
			tc := c.TC(consensus.Round(3+rng.IntN(9)), parts...)
			for range rng.IntN(3) {
				if len(tc.Timeouts) > 0 {
					tc = mutateTC(rng, c, strangers, tc, qcs)
				}
			}
			for _, v := range []*consensus.Verifier{plain, cached, cached} {
				_, errQC := v.QC(qc)
				_, errTC := v.TC(tc)
				if want := oracle.qc(qc); (errQC == nil) != want || errQC != nil && !isKnown(errQC) {
					t.Fatalf("powers %v: %+v: %v, want %v", powers, qc, errQC, want)
				}
				if want := oracle.tc(tc); (errTC == nil) != want || errTC != nil && !isKnown(errTC) {
					t.Fatalf("powers %v: %+v: %v, want %v", powers, tc, errTC, want)
				}
				verdicts[errQC == nil]++
				verdicts[errTC == nil]++
			}
		}
	}
	if verdicts[true] < 5000 || verdicts[false] < 5000 {
		t.Errorf("verdicts %v: one side was hardly tried", verdicts)
	}
}

// cache remembers everything.
type cache map[consensus.Hash]bool

func (c cache) Contains(h consensus.Hash) bool { return c[h] }
func (c cache) Add(h consensus.Hash)           { c[h] = true }

// TestCacheIsByAllBytes: a certificate that differs from a cached one only in a signature is checked again.
func TestCacheIsByAllBytes(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	v := c.Verifier()
	v.Cache = cache{}
	qc := c.QC(c.Data(c.Block(c.GenesisQC(), 1, nil)), 0, 1, 2)
	tc := c.TC(2, qc, qc, qc, nil)
	if _, err := v.TC(tc); err != nil {
		t.Fatal(err)
	}
	bad := &consensus.QC{Data: qc.Data, Signatures: slices.Clone(qc.Signatures)}
	bad.Signatures[1].Signature[0] ^= 1
	if _, err := v.QC(bad); !errors.Is(err, consensus.ErrBadSignature) {
		t.Errorf("QC with a wrong signature beside a cached one: %v", err)
	}
	badTC := &consensus.TC{Epoch: tc.Epoch, Round: tc.Round, HighQC: qc, Timeouts: slices.Clone(tc.Timeouts)}
	badTC.Timeouts[1].Signature[0] ^= 1
	if _, err := v.TC(badTC); !errors.Is(err, consensus.ErrBadSignature) {
		t.Errorf("TC with a wrong signature beside a cached one: %v", err)
	}
}

// TestRealSignatures: certificates by Ed25519, of three signers (single) and seven (batch); each damaged once.
func TestRealSignatures(t *testing.T) {
	for _, n := range []int{4, 7} {
		c := consensustest.NewEd25519(consensustest.Equal(n)...)
		v := c.Verifier()
		qc := c.QC(c.Data(c.Block(c.GenesisQC(), 1, nil)), c.All()[1:]...)
		parts := slices.Repeat([]*consensus.QC{qc}, n)
		parts[0], parts[1] = nil, c.GenesisQC()
		tc := c.TC(5, parts...)
		if _, err := v.QC(qc); err != nil {
			t.Fatal(err)
		}
		if _, err := v.TC(tc); err != nil {
			t.Fatal(err)
		}
		for i := range qc.Signatures {
			bad := &consensus.QC{Data: qc.Data, Signatures: slices.Clone(qc.Signatures)}
			bad.Signatures[i].Signature[i] ^= 0x10
			if _, err := v.QC(bad); !errors.Is(err, consensus.ErrBadSignature) {
				t.Errorf("n=%d: QC with signature %d damaged: %v", n, i, err)
			}
		}
		for i := range tc.Timeouts {
			bad := &consensus.TC{Epoch: tc.Epoch, Round: tc.Round, HighQC: qc, Timeouts: slices.Clone(tc.Timeouts)}
			bad.Timeouts[i].QCRound ^= 1 // poisoned: signed over another QC round
			if _, err := v.TC(bad); err == nil {
				t.Errorf("n=%d: TC with QC round %d changed is accepted", n, i)
			}
		}
	}
}
