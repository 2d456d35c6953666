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
		if want := bits(k.Len(), c.want...); !slices.Equal(got.Least, want) || !slices.Equal(got.Most, want) {
			t.Errorf("%s: %08b, want %08b alone", name, got, want)
		}
	}
}

// TestFailureMemory: what the parent names is kept while block time stays in one interval, is to choose from in the block
// that enters another one, and is forgotten in the one that enters another hour.
func TestFailureMemory(t *testing.T) {
	const hour = 36
	c := consensustest.New(consensustest.Equal(7)...)
	old, fresh, both := bits(7, 5), bits(7, 1), bits(7, 1, 5)
	if memory*hour != consensus.Timestamp(consensus.FailureAmnesty.Milliseconds()) {
		t.Fatal("the amnesty is another one")
	}
	const kept, chosen, forgotten = 1, 2, 3
	for _, k := range []struct {
		parent, block consensus.Timestamp
		want          int
	}{
		{7 * memory, 7*memory + 1, kept}, {7 * memory, 8*memory - 2, kept}, {7 * memory, 8*memory - 1, kept},
		{7 * memory, 8 * memory, chosen}, {8*memory - 1, 8 * memory, chosen}, {8*memory - 1, 8*memory + 1, chosen},
		{8*memory - 2, 8*memory - 1, kept}, {7*memory - 1, 8*memory - 1, chosen}, {7 * memory, 30 * memory, chosen},
		{7 * memory, hour*memory - 1, chosen}, {7 * memory, hour * memory, forgotten}, {hour*memory - 1, hour * memory, forgotten},
		{hour*memory - 1, hour*memory + 1, forgotten}, {hour * memory, hour*memory + 1, kept}, {memory, 70 * memory, forgotten},
	} {
		before := consensus.FailedAt{Timestamp: k.parent, Failed: old}
		with, without := c.Set.FoldFailed(before, k.block, ids(c, 1)), c.Set.FoldFailed(before, k.block, nil)
		want := [4][]byte{fresh, both, nil, old}
		switch k.want {
		case kept:
			want = [4][]byte{both, both, old, old}
		case forgotten:
			want = [4][]byte{fresh, fresh, nil, nil}
		}
		for i, got := range [4][]byte{with.Least, with.Most, without.Least, without.Most} {
			if !slices.Equal(got, want[i]) {
				t.Errorf("from %d to %d, %d: %b, want %b", k.parent, k.block, i, got, want[i])
			}
		}
	}
	if !slices.Equal(old, bits(7, 5)) {
		t.Error("the parent's bitmap was written to")
	}
}

// TestFailedChoice: of all bitmaps those are allowed that name all of the least and nobody beyond the most; whom a leader
// lets back in is one of them, and nobody is let in that it did not hear, nor kept out that it did and may let in.
func TestFailedChoice(t *testing.T) {
	for n, failures := range map[int][][2][]int{
		4:  {{nil, nil}, {{1}, nil}, {nil, {1}}, {{3}, {3}}},
		7:  {{{1}, {2}}, {{3, 5}, nil}},
		10: {{{0, 8}, nil}, {{0, 8}, {9}}, {{9}, {8, 1}}, {{2, 9}, {2, 3}}},
	} {
		c := consensustest.New(consensustest.Equal(n)...)
		for _, k := range failures {
			choice := c.Set.FoldFailed(consensus.FailedAt{Timestamp: memory - 1, Failed: bits(n, k[0]...)}, memory, ids(c, k[1]...))
			allowed := 0
			for mask := range 1 << n {
				var named []int
				for i := range n {
					if mask>>i&1 == 1 {
						named = append(named, i)
					}
				}
				want := true
				for i := range n {
					in, old, fresh := slices.Contains(named, i), slices.Contains(k[0], i), slices.Contains(k[1], i)
					want = want && (!in || old || fresh) && (in || !fresh)
				}
				bitmap := bits(n, named...)
				if got := choice.Allows(bitmap); got != want {
					t.Errorf("%d, %v: %v allowed: %v", n, k, named, got)
				}
				if want {
					allowed++
				}
				if len(bitmap) > 0 && choice.Allows(append(slices.Clone(bitmap), 0)) || len(bitmap) > 1 && choice.Allows(bitmap[:1]) {
					t.Errorf("%d, %v: %v is allowed in another length", n, k, named)
				}
				chosen := choice.Without(func(i int) bool { return !slices.Contains(named, i) })
				if !choice.Allows(chosen) {
					t.Errorf("%d, %v: chosen are %b", n, k, chosen)
				}
				for i := range n {
					old, fresh := slices.Contains(k[0], i), slices.Contains(k[1], i)
					if kept := fresh || old && slices.Contains(named, i); consensus.InBitmap(chosen, i) != kept {
						t.Errorf("%d, %v without all but %v: %b", n, k, named, chosen)
					}
				}
			}
			if allowed == 0 || choice.Allows(make([]byte, (n+7)/8)) || choice.Allows(make([]byte, 9)) {
				t.Errorf("%d, %v: nothing is allowed, or zeros are", n, k)
			}
		}
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
		before := consensus.FailedAt{Timestamp: memory, Failed: c.Set.FoldFailed(consensus.FailedAt{}, memory, ids(c, first...)).Most}
		next := rapid.SampledFrom([]consensus.Timestamp{memory + 1, 2 * memory}).Draw(t, "next")
		after := c.Set.FoldFailed(before, next, ids(c, second...)).Most
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
