package engine

import (
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/mempool"
)

// room is how much we put into a block that we propose (P55). Each round that expired halves it, every second commit
// doubles it: a host or a network that is too slow for full blocks gets smaller ones until rounds end by QCs again. It
// follows from the rounds of the committed chain, so all nodes that have followed it as long shrink alike, whoever led;
// a start begins with all of it. Safety does not rest on it: any payload within the limits is a valid one. Loop only.
type room struct {
	limit mempool.Room
	tip   consensus.BlockInfo // the last block that was committed
	debt  int                 // 2 for each expired round, less 1 for each commit; at most maxDebt
}

const (
	// maxHalvings is how often the room is halved at most: 5,000 transactions become 79, and 2 MiB the largest transaction.
	maxHalvings = 6
	// commitsToDouble is how many commits pay for one expired round. With fewer the next attempt at a size that failed
	// would come at once; with more a third of the leaders being dead, two rounds in six, would keep blocks small for ever.
	commitsToDouble = 2
	maxDebt         = maxHalvings * commitsToDouble
	// minRoom is how many transactions there is always room for: where rounds expire because messages are lost, not because
	// blocks are large, smaller ones would only be slower.
	minRoom = 16
)

func newRoom(limit mempool.Room, tip consensus.BlockInfo) room { return room{limit: limit, tip: tip} }

// committed takes in what the core commits, in order.
func (r *room) committed(commits []core.Commit) {
	for _, c := range commits {
		r.debt = max(r.owing(c.Info.Round, c.Info.Height)-1, 0)
		r.tip = c.Info
	}
}

// owing is the debt when a block of this round and height, on the chain of the tip, is the next: each block between them
// took a round, and all other rounds between them have expired.
func (r *room) owing(round consensus.Round, height consensus.Height) int {
	rounds, blocks := uint64(round-r.tip.Round), uint64(height-r.tip.Height)
	return min(r.debt+commitsToDouble*int(min(rounds-blocks, maxHalvings)), maxDebt)
}

// of returns the room of a block to be built. It has room for any transaction that the limit lets in.
func (r *room) of(b core.Build) mempool.Room {
	halvings := (r.owing(b.Round, b.Height) + commitsToDouble - 1) / commitsToDouble
	return mempool.Room{
		Transactions: max((r.limit.Transactions-1)>>halvings+1, min(r.limit.Transactions, minRoom)),
		Bytes:        max(r.limit.Bytes>>halvings, min(r.limit.Bytes, consensus.MaxTransactionBytes)),
	}
}
