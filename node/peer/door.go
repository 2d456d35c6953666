package peer

import (
	"net"
	"slices"
	"sync"
)

// door is a listener that holds a bounded number of connections, by closing the oldest: of those who have not shown a
// key yet all together, of each peer apart. So nobody can keep a validator out, by half-open connections least of all.
// Closing it closes every connection.
type door struct {
	net.Listener

	mu      sync.Mutex
	closed  bool
	unknown []*visitor // oldest first
	known   map[*remote][]*visitor
}

func newDoor(l net.Listener) *door { return &door{Listener: l, known: make(map[*remote][]*visitor)} }

// visitor is a connection that came in by a door.
type visitor struct {
	net.Conn
	door *door
	from *remote // nil until the key is known; guarded by the door's lock
}

// Close closes the connection. It may be called more than once.
func (v *visitor) Close() error {
	v.door.forget(v)
	return v.Conn.Close()
}

// Accept is part of net.Listener.
func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	v := &visitor{Conn: c, door: d}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		_ = c.Close()
		return nil, net.ErrClosed
	}
	var oldest *visitor
	if len(d.unknown) == maxUnknown {
		oldest = d.unknown[0]
	}
	d.unknown = append(d.unknown, v)
	d.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return v, nil
}

// recognise says whose connection it is.
func (d *door) recognise(v *visitor, from *remote) {
	d.mu.Lock()
	i := slices.Index(d.unknown, v)
	if i < 0 { // closed meanwhile
		d.mu.Unlock()
		return
	}
	d.unknown = slices.Delete(d.unknown, i, i+1)
	var oldest *visitor
	if len(d.known[from]) == maxPerPeer {
		oldest = d.known[from][0]
	}
	v.from = from
	d.known[from] = append(d.known[from], v)
	d.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
}

func (d *door) forget(v *visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	without := func(all []*visitor) []*visitor {
		return slices.DeleteFunc(all, func(o *visitor) bool { return o == v })
	}
	if v.from == nil {
		d.unknown = without(d.unknown)
		return
	}
	d.known[v.from] = without(d.known[v.from])
}

// Close closes the listener and every connection. It may be called more than once.
func (d *door) Close() error {
	err := d.Listener.Close()
	d.mu.Lock()
	d.closed = true
	all := slices.Clone(d.unknown)
	for _, of := range d.known {
		all = append(all, of...)
	}
	d.mu.Unlock()
	for _, v := range all {
		_ = v.Close()
	}
	return err
}
