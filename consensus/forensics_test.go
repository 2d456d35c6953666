package consensus_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// TestOffences: which pairs of deeds prove something, and which do not, of validators a to d. A QC at an index is of
// a block of that round, 0 of genesis.
func TestOffences(t *testing.T) {
	two := consensustest.New(consensustest.Equal(4)...)
	three := consensustest.NewOf(consensustest.Rule(consensus.ThreeChain), consensustest.Equal(4)...)
	for _, tc := range []struct {
		name   string
		rule   *consensustest.Committee
		known  func(*consensustest.Committee) ([]*consensus.QC, []*consensus.TC)
		broken consensus.Promise // by b and c; none: by nobody
	}{
		{"a chain, and timeouts with its QCs", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3, 4)
			return q, []*consensus.TC{c.TC(5, q[4], q[3], q[4], q[4]), c.TC(6, q[3], q[4], q[4], q[4])}
		}, ""},
		{"two votes in a round", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1)
			left, right := c.Block(q[1], 2, nil, "left"), c.Block(q[1], 2, nil, "right")
			return []*consensus.QC{c.QC(c.Data(left), 0, 1, 2), q[1], c.QC(c.Data(right), 1, 2, 3)}, nil
		}, consensus.OneVote},
		{"two timeouts in a round", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2)
			return q, []*consensus.TC{c.TC(3, q[2], q[1], q[1], nil), c.TC(3, nil, q[2], q[2], q[1])}
		}, consensus.OneTimeout},
		{"a timeout in the round of a vote, with a QC below the parent's", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return signedBy(c, q, 0, 1, 2), []*consensus.TC{c.TC(3, nil, q[1], q[1], q[1])}
		}, consensus.TimeoutAboveLock},
		{"a timeout in a later round, with a QC below the parent's", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return signedBy(c, q, 0, 1, 2), []*consensus.TC{c.TC(9, nil, q[1], q[1], q[1])}
		}, consensus.TimeoutAboveLock},
		{"a timeout before the vote that locks above it", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return q[3:], []*consensus.TC{c.TC(2, nil, q[0], q[0], q[0])}
		}, ""},
		{"a timeout with the parent's QC", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return q, []*consensus.TC{c.TC(3, nil, q[2], q[2], q[2])}
		}, ""},
		{"a timeout below the lock, which three_chain allows", three, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return q, []*consensus.TC{c.TC(9, nil, q[1], q[1], q[1])}
		}, ""},
		{"a vote for a block below the lock, which two_chain allows", two, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return append(q, chain(c, c.GenesisQC(), 7)[1:]...), nil
		}, ""},
		{"a vote for a block below the lock", three, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return append(signedBy(c, q, 0, 1, 2), signedBy(c, chain(c, q[0], 7), 1, 2, 3)...), nil
		}, consensus.VoteAboveLock},
		{"a vote for a block on the lock", three, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 3)
			return append(q, chain(c, q[1], 7)[1:]...), nil
		}, ""},
		{"a vote below what a vote with a gap would lock", three, func(c *consensustest.Committee) ([]*consensus.QC, []*consensus.TC) {
			q := chain(c, c.GenesisQC(), 1, 2, 4)
			return append(q, chain(c, q[0], 7)[1:]...), nil
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			qcs, tcs := tc.known(tc.rule)
			found := consensus.Offences(tc.rule.Genesis.Rule, qcs, tcs)
			for range 5 {
				rand.Shuffle(len(qcs), func(i, j int) { qcs[i], qcs[j] = qcs[j], qcs[i] })
				if again := consensus.Offences(tc.rule.Genesis.Rule, append(qcs, qcs...), tcs); !reflect.DeepEqual(found, again) {
					t.Fatalf("%v in another order: %v", found, again)
				}
			}
			want := 2
			if tc.broken == "" {
				want = 0
			}
			if len(found) != want {
				t.Fatalf("found %v", found)
			}
			for i, o := range found {
				if o.Signer != tc.rule.ID(i+1) || o.Broken != tc.broken || !strings.Contains(o.String(), o.Signer.String()) {
					t.Errorf("offence %d: %v", i, o)
				}
				checkProof(t, tc.rule, o)
			}
		})
	}
}

// chain returns the QC it starts from and those of blocks of these rounds, at index i the QC of the i-th.
func chain(c *consensustest.Committee, qc *consensus.QC, rounds ...consensus.Round) []*consensus.QC {
	out := []*consensus.QC{qc}
	for _, r := range rounds {
		qc = c.QC(c.Data(c.Block(qc, r, nil)))
		out = append(out, qc)
	}
	return out
}

// signedBy returns the certificates with these signers alone.
func signedBy(c *consensustest.Committee, qcs []*consensus.QC, signers ...int) (out []*consensus.QC) {
	for _, q := range qcs {
		if q.Round() > 0 {
			out = append(out, c.QC(q.Data, signers...))
		}
	}
	return out
}

// checkProof: the proof holds, and no changed one does.
func checkProof(t *testing.T, c *consensustest.Committee, o consensus.Offence) {
	t.Helper()
	v := c.Verifier()
	if err := v.Offence(o); err != nil {
		t.Errorf("%v: %v", o, err)
	}
	for name, tc := range map[string]struct {
		change func(*consensus.Offence)
		want   error
	}{
		"another signer":    {func(o *consensus.Offence) { o.Signer = c.ID(0) }, consensus.ErrBadSignature},
		"a stranger":        {func(o *consensus.Offence) { o.Signer[0] ^= 1 }, consensus.ErrUnknownSigner},
		"another signature": {func(o *consensus.Offence) { o.Second.Signature[3] ^= 1 }, consensus.ErrBadSignature},
		"one deed":          {func(o *consensus.Offence) { o.Second = o.First }, consensus.ErrInvalid},
		"no promise":        {func(o *consensus.Offence) { o.Broken = "" }, consensus.ErrInvalid},
		"another epoch":     {func(o *consensus.Offence) { o.First.Epoch, o.Second.Epoch = 9, 9 }, consensus.ErrWrongEpoch},
		"two epochs":        {func(o *consensus.Offence) { o.Second.Epoch = 9 }, consensus.ErrInvalid},
		"another round":     {func(o *consensus.Offence) { o.First.Round, o.Second.Round = 77, 77 }, nil},
	} {
		changed := o
		tc.change(&changed)
		if err := v.Offence(changed); err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}
