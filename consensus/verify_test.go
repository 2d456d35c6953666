package consensus_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// known are the errors that a verifier may give.
var known = []error{consensus.ErrInvalid, consensus.ErrWrongEpoch, consensus.ErrUnknownSigner, consensus.ErrBadSignature, consensus.ErrNoQuorum}

func isKnown(err error) bool {
	return slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) })
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

// counting counts the signatures that a scheme is asked about.
type counting struct {
	signature.Scheme
	count *int
}

func (c counting) Verify(items []signature.Item) bool {
	*c.count += len(items)
	return c.Scheme.Verify(items)
}

// TestVotesSeenAreNotVerifiedAgain: of a QC only the signatures that did not come as votes cost anything, and a wrong
// one among them is found.
func TestVotesSeenAreNotVerifiedAgain(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	v, count := c.Verifier(), 0
	v.Cache, v.Scheme = cache{}, counting{v.Scheme, &count}
	data := c.Data(c.Block(c.GenesisQC(), 1, nil))
	for _, by := range []int{0, 2} {
		if _, err := v.Vote(c.Vote(by, data)); err != nil {
			t.Fatal(err)
		}
	}
	qc := c.QC(data, 0, 1, 2)
	for i := range qc.Signatures {
		bad := &consensus.QC{Data: qc.Data, Signatures: slices.Clone(qc.Signatures)}
		bad.Signatures[i].Signature[0] ^= 1
		if _, err := v.QC(bad); !errors.Is(err, consensus.ErrBadSignature) {
			t.Errorf("QC with signature %d damaged: %v", i, err)
		}
	}
	count = 0
	if _, err := v.QC(qc); err != nil || count != 1 {
		t.Errorf("%d signatures verified, want 1: %v", count, err)
	}
	other := c.Data(c.Block(c.GenesisQC(), 2, nil)) // the votes are for that data only
	if _, err := v.QC(&consensus.QC{Data: other, Signatures: qc.Signatures}); !errors.Is(err, consensus.ErrBadSignature) {
		t.Errorf("votes for another block: %v", err)
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
