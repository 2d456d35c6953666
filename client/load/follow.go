package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/client"
)

const (
	// streamTries is how often in a row a stream may be lost before it shows a commit; then no node streams.
	streamTries = 60
	streamPause = 250 * time.Millisecond
)

// follow takes in every commit from a height on, from one node at a time: another one goes on where one is lost or lags
// behind the others. It returns nil when ctx ends, else an ErrStream.
func (r *run) follow(ctx context.Context, from uint64) error {
	var last error
	for node, failures := r.observer, 0; failures < streamTries; {
		next, err := r.followOne(ctx, node, &from)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errProgress):
			failures = 0
		default:
			failures, last = failures+1, err
		}
		node = next
		if sleep(ctx, streamPause) != nil {
			return nil
		}
	}
	return fmt.Errorf("%w: the last said: %w", ErrStream, last)
}

// errProgress says that a stream was lost after it had shown commits.
var errProgress = errors.New("lost after commits")

// followOne follows a node, and returns which one is to be followed next.
func (r *run) followOne(ctx context.Context, node int, from *uint64) (next int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	overtaken := make(chan int, 1)
	go func() {
		overtaken <- r.overtaken(ctx, node)
		cancel()
	}()
	err = r.stream(ctx, cancel, r.cfg.Clients[node], from)
	cancel()
	return <-overtaken, err
}

func (r *run) stream(ctx context.Context, cancel context.CancelFunc, c *client.Client, from *uint64) error {
	begun, lost := *from, error(nil)
	opts := client.StreamOptions{FromHeight: &begun, IncludeOutcomes: true, Disconnected: func(err error, _ time.Duration) {
		lost = err
		cancel()
	}}
	height := *from
	for commit, err := range c.StreamCommits(ctx, opts) {
		if err != nil {
			if lost == nil {
				lost = err
			}
			break
		}
		r.tracker.commit(commit.Outcomes, time.Now())
		height = commit.Height + 1
	}
	*from = height
	if height > begun {
		return errProgress
	}
	return lost
}

const (
	// overtakenBy is by how many heights another node is ahead when it is followed in the place of one that lags.
	overtakenBy = 16
	// overtakenLooks is how often in a row it must be seen: all nodes take turns to be a little ahead.
	overtakenLooks = 3
	overtakenEvery = time.Second
)

// overtaken watches a node that is followed, and returns which one is to be followed next: one that has left it behind,
// or, once ctx has ended, the one after it.
func (r *run) overtaken(ctx context.Context, node int) (next int) {
	looks := 0
	for sleep(ctx, overtakenEvery) == nil {
		best, lags := furthest(r.heights(ctx), node)
		if !lags {
			looks = 0
			continue
		}
		if looks++; looks == overtakenLooks {
			return best
		}
	}
	return (node + 1) % len(r.cfg.Clients)
}

// furthest returns the node of the greatest height, and whether it has left another one behind; one that does not answer
// counts as behind all.
func furthest(heights []uint64, node int) (best int, lags bool) {
	best = slices.Index(heights, slices.Max(heights))
	return best, heights[node] == 0 && heights[best] > 0 || heights[best] >= heights[node]+overtakenBy
}

// heights asks all nodes for theirs; 0: no answer.
func (r *run) heights(ctx context.Context) []uint64 {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Patience)
	defer cancel()
	out := make([]uint64, len(r.cfg.Clients))
	group := &errgroup.Group{}
	for i, c := range r.cfg.Clients {
		group.Go(func() error {
			if status, err := c.Status(ctx); err == nil {
				out[i] = status.GetHeight()
			}
			return nil
		})
	}
	_ = group.Wait() // no error is returned
	return out
}
