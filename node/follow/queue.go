package follow

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// queue is what waits between two stages, first in, first out: bounded by a count and by bytes. At a bound whoever puts
// waits. One goroutine puts, one takes.
type queue[T any] struct {
	items chan T
	bytes *semaphore.Weighted
	most  int64
	size  func(T) int
}

// newQueue makes a queue of so many items, of so many bytes together as size says; one that is larger than that is taken
// when the queue is empty.
func newQueue[T any](items, bytes int, size func(T) int) *queue[T] {
	return &queue[T]{items: make(chan T, items), bytes: semaphore.NewWeighted(int64(bytes)), most: int64(bytes), size: size}
}

// put waits until there is room. The error is ctx's.
func (q *queue[T]) put(ctx context.Context, item T) error {
	if err := q.bytes.Acquire(ctx, q.weight(item)); err != nil {
		return err
	}
	select {
	case q.items <- item:
		return nil
	case <-ctx.Done():
		q.took(item)
		return ctx.Err()
	}
}

// out is where items come from. Whoever receives one says so by took.
func (q *queue[T]) out() <-chan T { return q.items }

// took gives the room of a received item back, which it returns.
func (q *queue[T]) took(item T) T {
	q.bytes.Release(q.weight(item))
	return item
}

func (q *queue[T]) weight(item T) int64 { return min(int64(q.size(item)), q.most) }
