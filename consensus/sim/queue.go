package sim

import (
	"container/heap"
	"time"
)

// entry is something to do at an instant; those of one instant are done in the order in which they were pushed.
type entry struct {
	at  time.Duration
	seq uint64
	do  func()
}

// queue is the future.
type queue struct {
	entries entries
	pushed  uint64
}

func (q *queue) push(at time.Duration, do func()) {
	q.pushed++
	heap.Push(&q.entries, entry{at: at, seq: q.pushed, do: do})
}

func (q *queue) pop() (entry, bool) {
	if len(q.entries) == 0 {
		return entry{}, false
	}
	return heap.Pop(&q.entries).(entry), true
}

type entries []entry

// Len implements heap.Interface.
func (e entries) Len() int { return len(e) }

// Less implements heap.Interface.
func (e entries) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}

// Swap implements heap.Interface.
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *entries) Push(x any) { *e = append(*e, x.(entry)) }

// Pop implements heap.Interface.
func (e *entries) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = entry{}
	*e = (*e)[:last]
	return x
}
