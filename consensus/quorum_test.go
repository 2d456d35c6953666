package consensus_test

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// isQuorum and isWeak are the definitions, in numbers that cannot overflow.
func isQuorum(power, total consensus.Power) bool { return times(power, 3).Cmp(times(total, 2)) > 0 }
func isWeak(power, total consensus.Power) bool   { return times(power, 3).Cmp(times(total, 1)) > 0 }

func times(p consensus.Power, n int64) *big.Int {
	return new(big.Int).Mul(new(big.Int).SetUint64(uint64(p)), big.NewInt(n))
}

func TestQuorumPower(t *testing.T) {
	check := func(powers ...consensus.Power) {
		t.Helper()
		set := consensustest.New(powers...).Set
		q, w, total := set.QuorumPower(), set.WeakPower(), set.TotalPower()
		if !isQuorum(q, total) || isQuorum(q-1, total) {
			t.Errorf("total %d: quorum %d is not the least", total, q)
		}
		if !isWeak(w, total) || isWeak(w-1, total) {
			t.Errorf("total %d: weak quorum %d is not the least", total, w)
		}
		if 2*q-total < w {
			t.Errorf("total %d: two quorums of %d may share less than %d", total, q, w)
		}
		if q > total {
			t.Errorf("total %d: quorum %d cannot be reached", total, q)
		}
	}
	for total := consensus.Power(1); total <= 300; total++ {
		check(total)
	}
	check(consensus.MaxPower)
	check(consensus.MaxPower, consensus.MaxPower-1, 1)
	check(slices.Repeat([]consensus.Power{consensus.MaxPower}, consensus.MaxValidators)...)
	for _, c := range []struct{ n, quorum, weak consensus.Power }{{1, 1, 1}, {2, 2, 1}, {3, 3, 2}, {4, 3, 2}, {5, 4, 2}, {6, 5, 3}, {7, 5, 3}, {10, 7, 4}, {100, 67, 34}} {
		set := consensustest.New(c.n).Set
		if set.QuorumPower() != c.quorum || set.WeakPower() != c.weak {
			t.Errorf("total %d: quorum %d, weak %d; want %+v", c.n, set.QuorumPower(), set.WeakPower(), c)
		}
	}
}

// TestEverySubset: for every subset of the signers of weighted sets, a QC and a TC verify, and are assembled, exactly
// when the subset is a quorum by power.
func TestEverySubset(t *testing.T) {
	for _, powers := range [][]consensus.Power{{1}, {1, 1}, {1, 1, 1}, {1, 1, 1, 1}, {4, 1, 1, 1}, {1, 2, 3, 4}, {10, 1, 1, 1, 1}, {5, 5, 5, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}} {
		c := consensustest.New(powers...)
		v := c.Verifier()
		b := c.Block(c.GenesisQC(), 1, nil)
		for subset := range 1 << len(powers) {
			var signers []int
			var power consensus.Power
			qcs := make([]*consensus.QC, len(powers))
			var votes []consensus.Verified[*consensus.Vote]
			var timeouts []consensus.Verified[*consensus.Timeout]
			for i := range powers {
				if subset>>i&1 == 0 {
					continue
				}
				signers, power, qcs[i] = append(signers, i), power+c.Set.At(i).Power, c.GenesisQC()
				votes = append(votes, c.Identity(i).Vote(&consensus.Vote{Data: c.Data(b)}))
				timeouts = append(timeouts, c.Identity(i).Timeout(&consensus.Timeout{Round: 1, QC: c.GenesisQC()}))
			}
			if len(signers) == 0 {
				continue
			}
			want := isQuorum(power, c.Set.TotalPower())
			qc, tc := c.QC(c.Data(b), signers...), c.TC(1, qcs...)
			_, errQC := v.QC(qc)
			_, errTC := v.TC(tc)
			if (errQC == nil) != want || (errTC == nil) != want || !want && (!errors.Is(errQC, consensus.ErrNoQuorum) || !errors.Is(errTC, consensus.ErrNoQuorum)) {
				t.Errorf("powers %v, signers %v: QC %v, TC %v", powers, signers, errQC, errTC)
			}
			madeQC, okQC := c.Set.AssembleQC(votes)
			madeTC, okTC := c.Set.AssembleTC(consensus.FirstEpoch, timeouts)
			if okQC != want || okTC != want {
				t.Errorf("powers %v, signers %v: assembled %v, %v", powers, signers, okQC, okTC)
			}
			if want && (string(madeQC.Get().Encode()) != string(qc.Encode()) || string(madeTC.Get().Encode()) != string(tc.Encode())) {
				t.Errorf("powers %v, signers %v: assembled others than signed", powers, signers)
			}
		}
	}
}

func TestValidatorSetRefuses(t *testing.T) {
	good := func() []consensus.Validator { return consensustest.New(1, 2, 3).Set.Members() }
	for name, change := range map[string]func([]consensus.Validator) []consensus.Validator{
		"nobody":     func([]consensus.Validator) []consensus.Validator { return nil },
		"no id":      func(m []consensus.Validator) []consensus.Validator { m[0].ID = consensus.ValidatorID{}; return m },
		"id twice":   func(m []consensus.Validator) []consensus.Validator { m[0].ID = m[1].ID; return m },
		"key twice":  func(m []consensus.Validator) []consensus.Validator { m[0].Key = m[1].Key; return m },
		"no name":    func(m []consensus.Validator) []consensus.Validator { m[0].Name = ""; return m },
		"name twice": func(m []consensus.Validator) []consensus.Validator { m[0].Name = m[1].Name; return m },
		"name too long": func(m []consensus.Validator) []consensus.Validator {
			m[0].Name = strings.Repeat("x", consensus.MaxValidatorName+1)
			return m
		},
		"no power":       func(m []consensus.Validator) []consensus.Validator { m[0].Power = 0; return m },
		"too much power": func(m []consensus.Validator) []consensus.Validator { m[0].Power = consensus.MaxPower + 1; return m },
	} {
		if set, err := consensus.NewValidatorSet(change(good())); err == nil {
			t.Errorf("%s: accepted as %+v", name, set)
		}
	}
	edge := good()
	edge[0].Name, edge[0].Power = strings.Repeat("x", consensus.MaxValidatorName), consensus.MaxPower
	if _, err := consensus.NewValidatorSet(edge); err != nil {
		t.Errorf("the longest name and the largest power: %v", err)
	}
	most := consensustest.New(consensustest.Equal(consensus.MaxValidators)...).Set.Members()
	if _, err := consensus.NewValidatorSet(most); err != nil {
		t.Errorf("%d validators: %v", len(most), err)
	}
	one := consensustest.NewEd25519(1).Set.At(0)
	one.Name = "one more"
	if _, err := consensus.NewValidatorSet(append(most, one)); err == nil {
		t.Errorf("%d validators are accepted", len(most)+1)
	}
}

// TestValidatorSetIsOrdered: the order of the members given is of no matter, and lookups agree.
func TestValidatorSetIsOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := consensustest.New(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) consensus.Power {
			return consensus.Power(rapid.Uint64Range(1, 1<<20).Draw(t, "power"))
		}), 1, 9).Draw(t, "powers")...)
		members := c.Set.Members()
		shuffled := rapid.Permutation(members).Draw(t, "order")
		set, err := consensus.NewValidatorSet(shuffled)
		if err != nil {
			t.Fatal(err)
		}
		if set.Hash() != c.Set.Hash() || !slices.Equal(set.Members(), members) || set.Len() != len(members) {
			t.Fatal("the order of the members matters")
		}
		for i, m := range members {
			if got, ok := set.Get(m.ID); !ok || got != m || set.Index(m.ID) != i || set.PowerOf(m.ID) != m.Power || set.At(i) != m || !set.Contains(m.ID) {
				t.Fatalf("lookup of %v", m)
			}
		}
		stranger := consensus.IDOf(signature.PublicKey{1})
		if _, ok := set.Get(stranger); ok || set.Index(stranger) != -1 || set.PowerOf(stranger) != 0 || set.Contains(stranger) {
			t.Fatal("a stranger is a member")
		}
		members[0].Name = "changed" // a copy
		if set.At(0).Name == "changed" {
			t.Fatal("Members lets its caller change the set")
		}
	})
}
