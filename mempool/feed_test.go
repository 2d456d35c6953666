package mempool

import "github.com/cairnchain/cairn/app"

// After collects what eachAfter visits, as far as there is room.
func (p *Pool) After(cursor Cursor, room Room) ([]app.Tx, Cursor) {
	var out []app.Tx
	next := p.eachAfter(cursor, func(e *entry) bool {
		if len(out) == room.Transactions || len(out) > 0 && e.size() > room.Bytes {
			return false
		}
		out = append(out, e.tx)
		room.Bytes -= e.size()
		return true
	})
	return out, next
}
