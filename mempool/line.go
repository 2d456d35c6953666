package mempool

import "slices"

// line is entries in the order in which they were appended, under strictly rising numbers from 1 on that are never used
// again. The zero line is empty.
type line struct {
	items []numbered // ordered by number; e is nil where one was removed
	last  uint64
	live  int
}

type numbered struct {
	number uint64
	e      *entry
}

// lineSlack is how many removed items a line may keep beside as many as are live.
const lineSlack = 64

func (l *line) append(e *entry) uint64 {
	l.last++
	l.items = append(l.items, numbered{l.last, e})
	l.live++
	return l.last
}

// from returns the position of the first item with a number of at least n.
func (l *line) from(n uint64) int {
	i, _ := slices.BinarySearchFunc(l.items, n, func(item numbered, n uint64) int {
		switch {
		case item.number < n:
			return -1
		case item.number > n:
			return 1
		}
		return 0
	})
	return i
}

func (l *line) remove(n uint64) {
	l.items[l.from(n)].e = nil
	l.live--
	if len(l.items) > 2*l.live+lineSlack {
		l.items = slices.DeleteFunc(l.items, func(item numbered) bool { return item.e == nil })
	}
}

// first returns the oldest entry, or nil.
func (l *line) first() *entry {
	for i := range l.items {
		if l.items[i].e != nil {
			l.items = l.items[i:] // what was removed before it is not looked at again
			return l.items[0].e
		}
	}
	return nil
}
