//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unique"

	"github.com/cairnchain/cairn/client"
)

// longestConnection bounds how long a reader stays connected before it hangs up, at a random instant.
const longestConnection = 300 * time.Millisecond

// reader is a client that loses nothing: it keeps the token of what it has finished with, and starts again from it.
type reader struct {
	name     string
	ids      []string // by height
	token    string
	connects int
	progress atomic.Int64 // len(ids), for others
}

// take takes one message in; heartbeats have no block.
func (r *reader) take(b *block, token string) error {
	if token == "" {
		return errors.New("a message without a token")
	}
	if b != nil {
		if b.Height != uint64(len(r.ids)) {
			return fmt.Errorf("height %d came where %d is next", b.Height, len(r.ids))
		}
		r.ids = append(r.ids, unique.Make(b.ID).Value()) // many readers see the same chain
		r.progress.Store(int64(len(r.ids)))
	}
	r.token = token
	return nil
}

// errHungUp is a connection that ended, whoever ended it: what is broken is told by other errors.
var errHungUp = errors.New("the connection ended")

type streamMessage struct {
	Block       *block
	ResumeToken string
}

// open opens the stream where the reader is.
func (r *reader) open(ctx context.Context, base string, events bool) (io.ReadCloser, error) {
	query := "fromHeight=0"
	if r.token != "" && !events {
		query = "resumeToken=" + url.QueryEscape(r.token)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/commits:stream?"+query, nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	if events {
		request.Header.Set("Accept", "text/event-stream")
		if r.token != "" {
			request.Header.Set("Last-Event-ID", r.token)
		}
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, errHungUp
	}
	r.connects++
	if answer.StatusCode == http.StatusServiceUnavailable || ctx.Err() != nil {
		answer.Body.Close()
		return nil, errHungUp
	}
	if answer.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		return nil, fmt.Errorf("status %d: %s", answer.StatusCode, raw)
	}
	return answer.Body, nil
}

// lines follows one connection as NDJSON.
func (r *reader) lines(ctx context.Context, m *member) error {
	body, err := r.open(ctx, m.rest, false)
	if err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewReader(body)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return errHungUp // what there is of a line does not count
		}
		var message struct {
			Result *streamMessage
			Error  json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		if message.Result == nil {
			if message.Error == nil {
				return fmt.Errorf("line %q", line)
			}
			return errHungUp
		}
		if err := r.take(message.Result.Block, message.Result.ResumeToken); err != nil {
			return err
		}
	}
}

// events follows one connection as server-sent events, as an EventSource does.
func (r *reader) events(ctx context.Context, m *member) error {
	body, err := r.open(ctx, m.rest, true)
	if err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewReader(body)
	fields := map[string]string{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return errHungUp // what there is of an event does not count
		}
		line = strings.TrimSuffix(line, "\n")
		if line != "" {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimPrefix(value, " ")
			continue
		}
		if fields["event"] == "error" {
			return errHungUp
		}
		if fields["data"] != "" {
			var message streamMessage
			if err := json.Unmarshal([]byte(fields["data"]), &message); err != nil {
				return err
			}
			if message.ResumeToken != fields["id"] || (message.Block == nil) != (fields["event"] == "heartbeat") {
				return fmt.Errorf("event %v", fields)
			}
			if err := r.take(message.Block, fields["id"]); err != nil {
				return err
			}
		}
		clear(fields)
	}
}

// sdk follows by the Go client, which connects again by itself until ctx ends.
func (r *reader) sdk(ctx context.Context, m *member) error {
	c, err := client.Dial(m.rpc)
	if err != nil {
		return err
	}
	defer c.Close()
	r.connects++
	zero := uint64(0)
	options := client.StreamOptions{FromHeight: &zero, ResumeToken: r.token}
	options.Disconnected = func(error, time.Duration) { r.connects++ }
	for commit, err := range c.StreamCommits(ctx, options) {
		if ctx.Err() != nil {
			return errHungUp
		}
		if err != nil {
			return err
		}
		if err := r.take(&block{ID: commit.Block.GetId(), Height: commit.Height}, commit.ResumeToken); err != nil {
			return err
		}
	}
	return errHungUp
}

// follow reads until goal heights were seen. Connections end at random instants if that is wanted.
func (r *reader) follow(ctx context.Context, once func(context.Context) error, instants *rand.Rand, goal *atomic.Int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		connection, hangUp := context.WithCancel(ctx)
		if instants != nil {
			connection, hangUp = context.WithTimeout(ctx, time.Duration(instants.Int64N(int64(longestConnection))))
		}
		done := make(chan error, 1)
		go func() { done <- once(connection) }()
		// A reader that never hangs up is ended at the goal.
		err := r.end(done, goal, hangUp)
		hangUp()
		switch {
		case !errors.Is(err, errHungUp):
			return fmt.Errorf("%s at height %d: %w", r.name, len(r.ids), err)
		case ctx.Err() != nil:
			return ctx.Err()
		case r.reached(goal):
			return nil
		}
		pause(ctx, lookInterval)
	}
}

func (r *reader) reached(goal *atomic.Int64) bool {
	g := goal.Load()
	return g != 0 && r.progress.Load() >= g
}

func (r *reader) end(done <-chan error, goal *atomic.Int64, hangUp context.CancelFunc) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if r.reached(goal) {
				hangUp()
			}
		}
	}
}

// Readers that hang up at random and resume see every height once, in order, although their node is stopped, killed and
// started again.
func TestStreamsResume(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	served := n.members[0]
	// The load does not depend on the node that goes away.
	load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls()[1:])
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()

	var goal atomic.Int64 // heights to see; 0 while the node still goes away
	readers := []*reader{}
	ended := make(chan error)
	start := func(name string, hangsUp bool, once func(*reader, context.Context, *member) error) {
		r := &reader{name: name}
		readers = append(readers, r)
		var instants *rand.Rand
		if hangsUp {
			instants = n.random(name)
		}
		go func() {
			ended <- r.follow(ctx, func(ctx context.Context) error { return once(r, ctx, served) }, instants, &goal)
		}()
	}
	start("NDJSON", true, (*reader).lines)
	start("NDJSON, patient", false, (*reader).lines)
	start("SSE", true, (*reader).events)
	start("SSE, patient", false, (*reader).events)
	start("SDK", true, (*reader).sdk)
	start("SDK, patient", false, (*reader).sdk)
	awaitReaders := func(more int64) {
		t.Helper()
		for _, r := range readers {
			to := r.progress.Load() + more
			n.await(fmt.Sprintf("%s reads up to height %d", r.name, to), func() bool {
				select {
				case err := <-ended:
					t.Fatalf("a reader ended early: %v", err)
				default:
				}
				return r.progress.Load() >= to
			})
		}
	}
	awaitReaders(30)
	served.process.interrupt()
	served.gone()
	served.start()
	served.awaitReady()
	awaitReaders(30)
	served.kill()
	load.awaitMore(8) // heights that the node has to fetch
	served.start()
	served.awaitReady()
	awaitReaders(30)

	history := n.agreed(load.finish())
	goal.Store(int64(len(history.blocks)))
	for range readers {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	for _, r := range readers {
		t.Logf("%s: %d heights, %d connections", r.name, len(r.ids), r.connects)
		if least := map[bool]int{true: 3, false: 10}[strings.HasSuffix(r.name, "patient")]; r.connects < least {
			t.Errorf("%s connected %d times", r.name, r.connects)
		}
		for height, b := range history.blocks {
			if r.ids[height] != b.ID {
				t.Errorf("%s: height %d: block %s, the chain has %s", r.name, height, r.ids[height], b.ID)
			}
		}
	}
}
