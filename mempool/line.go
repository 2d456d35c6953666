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

// arrivals is all entries of a pool in order of arrival. The zero arrivals is empty.
type arrivals struct{ oldest, newest *entry }

func (l *arrivals) append(e *entry) {
	e.earlier, e.later = l.newest, nil
	if l.newest == nil {
		l.oldest = e
	} else {
		l.newest.later = e
	}
	l.newest = e
}

func (l *arrivals) remove(e *entry) {
	if e.earlier == nil {
		l.oldest = e.later
	} else {
		e.earlier.later = e.later
	}
	if e.later == nil {
		l.newest = e.earlier
	} else {
		e.later.earlier = e.earlier
	}
	e.earlier, e.later = nil, nil
}
