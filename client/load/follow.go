package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/client"
)

const (
	// streamTries is how often in a row a stream may be lost before it shows a commit; then no node streams.
	streamTries = 60
	streamPause = 250 * time.Millisecond
)

// follow takes in every commit from a height on, from one node at a time: the next one goes on where one is lost. It
// returns nil when ctx ends, else an ErrStream.
func (r *run) follow(ctx context.Context, from uint64) error {
	var last error
	for node, failures := r.observer, 0; failures < streamTries; node++ {
		err := r.followOne(ctx, r.cfg.Clients[node%len(r.cfg.Clients)], &from)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errProgress):
			failures = 0
		default:
			failures, last = failures+1, err
		}
		if sleep(ctx, streamPause) != nil {
			return nil
		}
	}
	return fmt.Errorf("%w: the last said: %w", ErrStream, last)
}

// errProgress says that a stream was lost after it had shown commits.
var errProgress = errors.New("lost after commits")

func (r *run) followOne(ctx context.Context, c *client.Client, from *uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
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
