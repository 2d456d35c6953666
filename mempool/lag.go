package mempool

import (
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

const (
	// MaxLag is by how many heights the committed state may lie below the newest certified block that the node knows; when it
	// lies further below, the pool takes nothing in. A node that executes and commits in step is 2 or 3 behind.
	MaxLag consensus.Height = 32
	// resumeLag is by how many it lies below at most when the pool takes in again.
	resumeLag = MaxLag / 4
)

// Lag tells by how many heights the committed state lies below the newest certified block that this node knows.
//
// Beyond MaxLag the pool declines what is offered, from clients and from peers, without looking at it, until the node has
// nearly caught up: what others have committed already would fill the pool, which knows it only as pending; so the pool
// would have no room for what peers share, the next blocks would have to be fetched and their signatures verified in the
// midst of execution, and the node would fall behind further, with the processor time that admission takes. Peers send
// it again. To be called by one goroutine at a time.
func (p *Pool) Lag(heights consensus.Height) {
	switch {
	case heights > MaxLag:
		p.behind.Store(true)
	case heights <= resumeLag:
		p.behind.Store(false)
	}
}

// IsBehind reports whether the pool declines everything for now.
func (p *Pool) IsBehind() bool { return p.behind.Load() }

// decline refuses what nobody has decided about yet.
func (in *intake) decline() {
	why := app.Reject(ReasonBehind, "the node is behind the chain and catches up first; another one may take it")
	in.keep(func(o *offer) bool {
		in.out[o.at] = refused(consensus.Hash{}, why)
		return false
	})
}
