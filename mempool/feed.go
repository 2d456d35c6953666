package mempool

import "github.com/cairnchain/cairn/consensus"

// Cursor is a place in the timeline of ready transactions. 0 is its beginning. It holds as long as the Pool does.
type Cursor uint64

// eachAfter visits, in the order in which they became ready, what clients of this node have posted and is ready still,
// from behind the cursor on, until visit returns false, and returns where to go on: that one comes again. What came from
// peers is left out: they share it themselves.
func (p *Pool) eachAfter(cursor Cursor, visit func(*entry) bool) Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := p.timeline.from(uint64(cursor) + 1); i < len(p.timeline.items); i++ {
		item := p.timeline.items[i]
		if item.e != nil && item.e.from == Client && !visit(item.e) {
			break
		}
		cursor = Cursor(item.number)
	}
	return cursor
}

// eachShareable visits those of these that clients of this node have posted and that are ready, until visit returns
// false, and returns what is left: that one and the rest.
func (p *Pool) eachShareable(hashes []consensus.Hash, visit func(*entry) bool) []consensus.Hash {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, hash := range hashes {
		if e, ok := p.byHash[hash]; ok && e.from == Client && e.isReady() && !visit(e) {
			return hashes[i:]
		}
	}
	return nil
}

// Changed returns a channel that is closed when the next transaction becomes ready. To miss none, get it before looking.
func (p *Pool) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Fewer returns a channel that is closed when the next transaction leaves the pool. To miss none, get it before looking.
func (p *Pool) Fewer() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fewer == nil {
		p.fewer = make(chan struct{})
	}
	return p.fewer
}

func (p *Pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}
