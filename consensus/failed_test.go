package consensus_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// memory is FailureMemory in block time.
var memory = consensus.Timestamp(consensus.FailureMemory.Milliseconds())

// bits makes a bitmap; nil when it is of nobody.
func bits(size int, members ...int) []byte {
	if len(members) == 0 {
		return nil
	}
	out := make([]byte, (size+7)/8)
	for _, i := range members {
		out[i/8] |= 1 << (i % 8)
	}
	return out
}

func ids(c *consensustest.Committee, members ...int) (out []consensus.ValidatorID) {
	for _, i := range members {
		out = append(out, c.ID(i))
	}
	return out
}

// TestFoldFailed: old and new failures add up as long as less than a third of the power is passed over; beyond that the
// old ones go, and then all.
func TestFoldFailed(t *testing.T) {
	four, ten := consensustest.Equal(4), consensustest.Equal(10)
	heavy := []consensus.Power{4, 3, 3, 2, 1} // 13: four may fail, five may not
	for name, c := range map[string]struct {
		powers      []consensus.Power
		before, new []int
		want        []int
	}{
		"nobody":                          {four, nil, nil, nil},
		"the first":                       {four, nil, []int{2}, []int{2}},
		"kept":                            {four, []int{2}, nil, []int{2}},
		"again":                           {four, []int{2}, []int{2}, []int{2}},
		"a new one displaces the old":     {four, []int{2}, []int{0}, []int{0}},
		"two at once: nobody":             {four, []int{2}, []int{0, 1}, nil},
		"one below the bound":             {ten, []int{9}, []int{0}, []int{0, 9}},
		"at the bound":                    {ten, []int{8, 9}, []int{0}, []int{0, 8, 9}},
		"above the bound":                 {ten, []int{7, 8, 9}, []int{0}, []int{0}},
		"new ones at the bound":           {ten, []int{7}, []int{0, 1, 2}, []int{0, 1, 2}},
		"new ones above the bound":        {ten, []int{7}, []int{0, 1, 2, 3}, nil},
		"counted twice":                   {ten, []int{0, 1, 2}, []int{2, 1, 1}, []int{0, 1, 2}},
		"by power: at the bound":          {heavy, []int{4}, []int{1}, []int{1, 4}},
		"by power: exactly":               {heavy, nil, []int{0}, []int{0}},
		"by power: above":                 {heavy, []int{4}, []int{0}, []int{0}},
		"by power: new ones above":        {heavy, nil, []int{0, 4}, nil},
		"one that is alone is never over": {consensustest.Equal(1), nil, []int{0}, nil},
		"nor one of three":                {consensustest.Equal(3), nil, []int{0}, nil},
		"exactly a third is too much":     {consensustest.Equal(6), []int{0}, []int{1}, []int{1}},
		"everybody":                       {four, nil, []int{0, 1, 2, 3}, nil},
	} {
		k := consensustest.New(c.powers...)
		// Committees are ordered by key, and powers given in that order.
		before := consensus.FailedAt{Timestamp: 5 * memory, Failed: bits(k.Len(), c.before...)}
		got := k.Set.FoldFailed(before, 5*memory+1, ids(k, c.new...))
		if want := bits(k.Len(), c.want...); !slices.Equal(got, want) {
			t.Errorf("%s: %08b, want %08b", name, got, want)
		}
	}
}

// TestFailureMemory: failures are forgotten when block time enters the next interval, and not before.
func TestFailureMemory(t *testing.T) {
	c := consensustest.New(consensustest.Equal(7)...)
	old := bits(7, 5)
	for _, k := range []struct {
		parent, block consensus.Timestamp
		kept          bool
	}{
		{7 * memory, 7*memory + 1, true}, {7 * memory, 8*memory - 2, true}, {7 * memory, 8*memory - 1, true},
		{7 * memory, 8 * memory, false}, {8*memory - 1, 8 * memory, false}, {8*memory - 1, 8*memory + 1, false},
		{8*memory - 2, 8*memory - 1, true}, {7*memory - 1, 8*memory - 1, false}, {7 * memory, 70 * memory, false},
	} {
		before := consensus.FailedAt{Timestamp: k.parent, Failed: old}
		if got := c.Set.FoldFailed(before, k.block, nil); (len(got) > 0) != k.kept {
			t.Errorf("from %d to %d: %b", k.parent, k.block, got)
		}
		want := bits(7, 1)
		if k.kept {
			want = bits(7, 1, 5)
		}
		if got := c.Set.FoldFailed(before, k.block, ids(c, 1)); !slices.Equal(got, want) {
			t.Errorf("from %d to %d with a new one: %b", k.parent, k.block, got)
		}
	}
	if !slices.Equal(old, bits(7, 5)) {
		t.Error("the parent's bitmap was written to")
	}
}

// TestFailedLeaveAQuorum: whatever fails, a quorum of power may still lead; nobody is passed over who is neither in the
// parent's bitmap nor new; and a minority's failures are all kept.
func TestFailedLeaveAQuorum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		powers := rapid.SliceOfN(rapid.Map(rapid.IntRange(1, 9), func(p int) consensus.Power { return consensus.Power(p) }), 1, 20).Draw(t, "powers")
		c := consensustest.New(powers...)
		some := rapid.SliceOfN(rapid.IntRange(0, c.Len()-1), 0, c.Len())
		first, second := some.Draw(t, "first"), some.Draw(t, "second")
		before := consensus.FailedAt{Timestamp: memory, Failed: c.Set.FoldFailed(consensus.FailedAt{}, memory, ids(c, first...))}
		after := c.Set.FoldFailed(before, memory+1, ids(c, second...))
		var left, all consensus.Power
		for i := range c.Len() {
			in := consensus.InBitmap(after, i)
			if !in {
				left += c.Set.At(i).Power
			}
			if slices.Contains(first, i) || slices.Contains(second, i) {
				all += c.Set.At(i).Power
			} else if in {
				t.Errorf("%d is passed over and did not fail", i)
			}
		}
		if left < c.Set.QuorumPower() {
			t.Errorf("only %d of %d may lead", left, c.Set.TotalPower())
		}
		if 3*all < c.Set.TotalPower() && left != c.Set.TotalPower()-all {
			t.Errorf("%d failed, %d of %d may lead", all, left, c.Set.TotalPower())
		}
	})
}

func TestInBitmap(t *testing.T) {
	bitmap := []byte{0b1000_0001, 0b10}
	for i := range 20 {
		if got, want := consensus.InBitmap(bitmap, i), i == 0 || i == 7 || i == 9; got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if consensus.InBitmap(nil, 0) {
		t.Error("somebody is in the bitmap of nobody")
	}
}
