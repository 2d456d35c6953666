package mempool

import "github.com/cairnchain/cairn/app"

// Cursor is a place in the timeline of ready transactions. 0 is its beginning. It holds as long as the Pool does.
type Cursor uint64

// After returns, in the order in which they became ready, what clients of this node have posted and is ready still,
// from behind the cursor on, and where to go on. What came from peers is left out: they share it themselves.
func (p *Pool) After(cursor Cursor, room Room) ([]app.Tx, Cursor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []app.Tx
	for i := p.timeline.from(uint64(cursor) + 1); i < len(p.timeline.items); i++ {
		item := p.timeline.items[i]
		if item.e != nil && item.e.from == Client {
			if len(out) == room.Transactions || len(out) > 0 && item.e.size() > room.Bytes {
				return out, cursor
			}
			out = append(out, item.e.tx)
			room.Bytes -= item.e.size()
		}
		cursor = Cursor(item.number)
	}
	return out, cursor
}

// Changed returns a channel that is closed when the next transaction becomes ready. To miss none, get it before looking.
func (p *Pool) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *Pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}
