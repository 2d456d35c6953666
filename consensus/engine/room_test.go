package engine

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/mempool"
)

// follow commits blocks of these rounds, of consecutive heights.
func follow(r *room, rounds ...consensus.Round) {
	for _, round := range rounds {
		r.committed([]core.Commit{{Info: consensus.BlockInfo{Round: round, Height: r.tip.Height + 1}}})
	}
}

// build is for a block so many rounds above the tip, with so many blocks between them.
func buildAbove(r *room, rounds consensus.Round, between consensus.Height) core.Build {
	return core.Build{Round: r.tip.Round + rounds, Height: r.tip.Height + between + 1}
}

func TestRoom(t *testing.T) {
	full := mempool.Room{Transactions: consensus.MaxBlockTransactions, Bytes: consensus.MaxBlockBytes}
	for name, c := range map[string]struct {
		committed []consensus.Round
		rounds    consensus.Round
		between   consensus.Height
		want      mempool.Room
	}{
		"at the start":                 {nil, 1, 0, full},
		"no round expired":             {[]consensus.Round{1, 2, 3}, 3, 2, full},
		"the last one":                 {[]consensus.Round{1, 2, 3}, 2, 0, mempool.Room{Transactions: 2500, Bytes: 1 << 20}},
		"one below uncommitted blocks": {[]consensus.Round{1}, 4, 2, mempool.Room{Transactions: 2500, Bytes: 1 << 20}},
		"three in a row":               {[]consensus.Round{1}, 4, 0, mempool.Room{Transactions: 625, Bytes: 256 << 10}},
		"five":                         {nil, 6, 0, mempool.Room{Transactions: 157, Bytes: consensus.MaxTransactionBytes}},
		"six":                          {nil, 7, 0, mempool.Room{Transactions: 79, Bytes: consensus.MaxTransactionBytes}},
		"seven":                        {nil, 8, 0, mempool.Room{Transactions: 79, Bytes: consensus.MaxTransactionBytes}},
		"2^64 - 2":                     {nil, 1<<64 - 1, 0, mempool.Room{Transactions: 79, Bytes: consensus.MaxTransactionBytes}},
		"two commits after one":        {[]consensus.Round{2, 3}, 1, 0, full},
		"one commit after one":         {[]consensus.Round{2}, 1, 0, mempool.Room{Transactions: 2500, Bytes: 1 << 20}},
		"three commits after two":      {[]consensus.Round{3, 4, 5}, 1, 0, mempool.Room{Transactions: 2500, Bytes: 1 << 20}},
		"four commits after two":       {[]consensus.Round{3, 4, 5, 6}, 1, 0, full},
		"commits save nothing up":      {[]consensus.Round{1, 2, 3, 4, 5, 6}, 2, 0, mempool.Room{Transactions: 2500, Bytes: 1 << 20}},
		"another one meanwhile":        {[]consensus.Round{3, 4}, 2, 0, mempool.Room{Transactions: 1250, Bytes: 512 << 10}},
	} {
		r := newRoom(full, consensus.BlockInfo{})
		follow(&r, c.committed...)
		if got := r.of(buildAbove(&r, c.rounds, c.between)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for _, limit := range []mempool.Room{
		{Transactions: 1, Bytes: 1}, {Transactions: minRoom, Bytes: consensus.MaxTransactionBytes}, {Transactions: minRoom + 1, Bytes: consensus.MaxTransactionBytes + 1},
	} {
		r := newRoom(limit, consensus.BlockInfo{})
		want := mempool.Room{Transactions: min(limit.Transactions, minRoom), Bytes: min(limit.Bytes, consensus.MaxTransactionBytes)}
		if got := r.of(buildAbove(&r, 100, 0)); got != want {
			t.Errorf("%v shrinks to %v", limit, got)
		}
	}
}

// A third of the leaders may be dead for ever: then two rounds of six expire, and blocks are full again in each cycle.
func TestRoomOutlivesDeadLeaders(t *testing.T) {
	full := mempool.Room{Transactions: 5000, Bytes: 2 << 20}
	r, largest := newRoom(full, consensus.BlockInfo{}), 0
	for range 100 {
		largest = 0
		for i := range 4 {
			round := r.tip.Round + 1
			if i == 0 {
				round += 2
			}
			largest = max(largest, r.of(core.Build{Round: round, Height: r.tip.Height + 1}).Transactions)
			follow(&r, round)
		}
	}
	if largest < 2500 {
		t.Errorf("at most %d transactions in a block", largest)
	}
}

// Whatever happens, the room lies between its floor and its limit, more expired rounds never make it larger, and
// 2·maxHalvings commits in a row make it whole.
func TestRoomProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := mempool.Room{
			Transactions: rapid.IntRange(1, consensus.MaxBlockTransactions).Draw(t, "transactions"),
			Bytes:        rapid.IntRange(consensus.MaxTransactionBytes, consensus.MaxBlockBytes).Draw(t, "bytes"),
		}
		r := newRoom(limit, consensus.BlockInfo{Round: 5, Height: 3})
		for _, skip := range rapid.SliceOfN(rapid.Uint64Range(0, 9), 0, 30).Draw(t, "expired") {
			before := limit
			for n := range consensus.Round(10) {
				got := r.of(buildAbove(&r, n+1, 0))
				if got.Transactions > before.Transactions || got.Bytes > before.Bytes || got.Transactions < 1 || got.Bytes < consensus.MaxTransactionBytes {
					t.Fatalf("%v after %v", got, before)
				}
				before = got
			}
			follow(&r, r.tip.Round+1+consensus.Round(skip))
		}
		for range maxDebt {
			follow(&r, r.tip.Round+1)
		}
		if got := r.of(buildAbove(&r, 1, 0)); got != limit {
			t.Fatalf("%v in the end", got)
		}
	})
}
