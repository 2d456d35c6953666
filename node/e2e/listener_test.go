//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	quickReaders = 50
	longReaders  = 1000
	// upstreams are listeners themselves, so that no validator is touched when they are killed.
	upstreams = 3
	// killing is how long upstreams are killed in turn, at least.
	killing = 10 * time.Second
	// measuring is how long the rate of commits is measured before and after.
	measuring = 4 * time.Second
	// longestVisit bounds how long each of quickReaders stays connected, at random; more of them stay longer, so that the
	// connections per second are the same.
	longestVisit = 1500 * time.Millisecond
)

// A listener behind three upstreams, which are killed and started again in turn, serves many readers that hang up at
// random: every block once, in order. The validators do not notice.
func TestListenerServesReaders(t *testing.T) {
	count, bound := quickReaders, 3*patience
	if long() {
		count, bound = longReaders, 10*patience
	}
	n := newTestnetWith(newBed(t), upstreams+1)
	n.startAll()
	up, served := n.listeners[:upstreams], n.listeners[upstreams]
	var addresses []string
	for _, m := range up {
		m.start()
		addresses = append(addresses, m.rpc)
	}
	for _, m := range up {
		m.awaitReady()
	}
	served.start("--upstream-addresses", strings.Join(addresses, ","), "--rpc-streams-per-address", strconv.Itoa(2*count))
	served.awaitReady()
	load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls())
	load.awaitMore(20)
	before := n.rate(measuring)

	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	readers := n.startReaders(ctx, count, served)
	begin, from := time.Now(), n.members[0].status().Height
	kills := n.killInTurn(up, served)
	during := float64(n.members[0].status().Height-from) / time.Since(begin).Seconds()

	// What the listener hands on is committed.
	tx := n.bob.transfer(n.chainID, 0, 1, output{n.alice.address, 1})
	var answer submitted
	n.await("a transfer through the listener is committed", func() bool {
		status, err := call(ctx, served.rest+"/v1/transactions", tx.request("10s"), &answer)
		return err == nil && status == http.StatusOK && answer.State == "COMMITTED"
	})
	after := n.rate(measuring)
	acked := load.finish()
	acked[tx.id] = answer.Receipt
	history := n.agreed(acked)
	readers.finish(ctx, history)
	followed := strings.Count(served.process.output(), "following an upstream")
	t.Logf("%d readers, %d connections, %d kills of %d upstreams, %d times an upstream was followed", count, readers.connects(), kills, upstreams, followed)
	t.Logf("commits per second: %.1f before, %.1f with readers and kills, %.1f with readers; %d blocks", before, during, after, len(history.blocks))
	if kills < 2*upstreams || followed < 3 || during <= 0 {
		t.Errorf("%d kills, %d followed, %.1f commits per second", kills, followed, during)
	}
	if readers.connects() < 3*count {
		t.Errorf("%d readers connected %d times", count, readers.connects())
	}
	n.signedOnce()
	served.process.interrupt()
}

// rate measures the commits per second of the validators.
func (n *testnet) rate(d time.Duration) float64 {
	begin, from := time.Now(), n.members[0].status().Height
	pause(n.t.Context(), d)
	return float64(n.members[0].status().Height-from) / time.Since(begin).Seconds()
}

// killInTurn kills the upstreams one after the other, each again once the listener has got on without it, and returns how
// often.
func (n *testnet) killInTurn(up []*member, served *member) (kills int) {
	n.t.Helper()
	instants := n.random("kills")
	for begin := time.Now(); time.Since(begin) < killing || kills < 2*len(up); kills++ {
		m := up[kills%len(up)]
		m.kill()
		height := served.status().Height
		n.await(fmt.Sprintf("the listener gets on without %s", m.name), func() bool { return served.status().Height > height+3 })
		pause(n.t.Context(), time.Duration(instants.Int64N(int64(300*time.Millisecond))))
		m.start()
		m.awaitReady()
	}
	return kills
}

// crowd is many readers of one node.
type crowd struct {
	n     *testnet
	all   []*reader
	goal  atomic.Int64 // heights to see; 0 while it is open
	ended chan error
}

// startReaders starts readers of all kinds, each of which hangs up at random instants.
func (n *testnet) startReaders(ctx context.Context, count int, from *member) *crowd {
	c := &crowd{n: n, ended: make(chan error, count)}
	longest := longestVisit * time.Duration(max(1, count/quickReaders))
	kinds := []func(*reader, context.Context, *member) error{(*reader).lines, (*reader).events, (*reader).sdk}
	for i := range count {
		r := &reader{name: fmt.Sprintf("reader %d", i)}
		c.all = append(c.all, r)
		once, instants := kinds[i%len(kinds)], n.random(r.name)
		go func() {
			c.ended <- r.hop(ctx, func(ctx context.Context) error { return once(r, ctx, from) }, hops{instants, longest}, &c.goal)
		}()
	}
	return c
}

// hops are when a reader hangs up.
type hops struct {
	instants *rand.Rand
	longest  time.Duration
}

// hop reads until goal heights were seen, on connections that end at random instants.
func (r *reader) hop(ctx context.Context, once func(context.Context) error, h hops, goal *atomic.Int64) error {
	for !r.reached(goal) {
		connection, hangUp := context.WithTimeout(ctx, time.Duration(h.instants.Int64N(int64(h.longest))))
		err := once(connection)
		hangUp()
		if !errors.Is(err, errHungUp) {
			return fmt.Errorf("%s at height %d: %w", r.name, len(r.ids), err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s at height %d: %w", r.name, len(r.ids), ctx.Err())
		}
	}
	return nil
}

// finish waits until all have seen the whole chain, and compares what they saw with it.
func (c *crowd) finish(ctx context.Context, history *history) {
	c.n.t.Helper()
	c.goal.Store(int64(len(history.blocks)))
	for range c.all {
		select {
		case err := <-c.ended:
			if err != nil {
				c.n.t.Error(err)
			}
		case <-ctx.Done():
			c.n.t.Fatal(ctx.Err())
		}
	}
	for _, r := range c.all {
		for height, b := range history.blocks {
			if height >= len(r.ids) || r.ids[height] != b.ID {
				c.n.t.Errorf("%s: height %d is missing or another block", r.name, height)
				break
			}
		}
	}
}

func (c *crowd) connects() (sum int) {
	for _, r := range c.all {
		sum += r.connects
	}
	return sum
}
