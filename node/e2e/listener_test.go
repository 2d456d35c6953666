//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
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
	// measuring is how long the rate of commits is measured without readers and with them, in each of so many turns.
	measuring = 2 * time.Second
	turns     = 3
	// quickVisit and longVisit bound how long each reader stays connected, at random.
	quickVisit = 1500 * time.Millisecond
	longVisit  = 8 * time.Second
	// readSenders is of how many the load is in long runs, where each makes pauses.
	readSenders = 8
)

// A listener behind three upstreams, which are killed and started again in turn, serves many readers that hang up at
// random: every block once, in order. The validators do not notice: they go on committing, no round fails, and they serve as
// many streams as without readers. What would run on other machines gets only what the validators leave of
// the processors; else the test would measure how these are shared.
func TestListenerServesReaders(t *testing.T) {
	count, senders, visit, bound := quickReaders, 2, quickVisit, 3*patience
	if long() {
		count, senders, visit, bound = longReaders, readSenders, longVisit, 10*patience
	}
	b := newBed(t)
	b.resting = true // or who may use only what is left of the processors never starts
	n := newTestnetWith(b, upstreams+1)
	n.startAll()
	up, served := n.listeners[:upstreams], n.listeners[upstreams]
	n.startListeners(up, served, "--rpc-streams-per-address", strconv.Itoa(2*count))
	load := n.startLoad(n.chainID, n.alice, 0, senders, n.urls())
	load.awaitMore(20 * senders)
	n.awaitStreams(up)

	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	cost, failed := served.process.cpu(), n.failedRounds()
	readers := n.startReaders(count, visit, served)
	n.awaitWithin(bound, "most readers are connected", func() bool { return served.streams() > count/2 })
	without, with := n.compare(readers)
	n.awaitStreams(up)
	begin, from := time.Now(), n.members[0].status().Height
	kills := n.killInTurn(up, served)
	killing := float64(n.members[0].status().Height-from) / time.Since(begin).Seconds()
	n.awaitStreams(up)

	// What the listener hands on is committed.
	tx := n.bob.transfer(n.chainID, 0, 1, output{n.alice.address, 1})
	var answer submitted
	n.await("a transfer through the listener is committed", func() bool {
		status, err := call(ctx, served.rest+"/v1/transactions", tx.request("10s"), &answer)
		return err == nil && status == http.StatusOK && answer.State == "COMMITTED"
	})
	failed = n.failedRounds() - failed
	acked := load.finish()
	acked[tx.id] = answer.Receipt
	history := n.agreed(acked)
	outcome := readers.finish(ctx, history)
	cost = served.process.cpu() - cost
	followed := strings.Count(served.process.output(), "following an upstream")
	t.Logf("%d readers, %d connections, %d kills of %d upstreams, %d times an upstream was followed", count, outcome.Connects, kills, upstreams, followed)
	t.Logf("commits per second: %.1f without readers, %.1f with, %.1f with and kills; %d rounds failed; %d blocks", without, with, killing, failed, len(history.blocks))
	t.Logf("the listener took %v of the processors for %d blocks to readers: %v each, connections included", cost, outcome.Events,
		cost/time.Duration(max(1, outcome.Events)))
	if kills < 2*upstreams || followed < 3 || outcome.Connects < 3*count || outcome.Events < count*len(history.blocks) {
		t.Errorf("%d kills, %d followed, %d connections, %d blocks arrived", kills, followed, outcome.Connects, outcome.Events)
	}
	if with < without/2 || killing <= 0 || failed > 0 {
		t.Errorf("the validators notice the readers")
	}
	n.signedOnce()
	served.process.interrupt()
}

// compare measures the commits per second while readers are stopped and while they read, in turns, for the machine may
// have other work too.
func (n *testnet) compare(r *readers) (without, with float64) {
	n.t.Helper()
	for range turns {
		r.signal(syscall.SIGSTOP)
		without += n.rate(measuring) / turns
		r.signal(syscall.SIGCONT)
		with += n.rate(measuring) / turns
	}
	return without, with
}

// startListeners starts listeners of the validators, and one that has these for upstreams.
func (n *testnet) startListeners(up []*member, served *member, flags ...string) {
	n.t.Helper()
	var addresses []string
	for _, m := range up {
		m.startYielding()
		addresses = append(addresses, m.rpc)
	}
	for _, m := range up {
		m.awaitReady()
	}
	served.startYielding(append(flags, "--upstream-addresses", strings.Join(addresses, ","))...)
	served.awaitReady()
}

// startYielding is start of what would run on another machine.
func (m *member) startYielding(flags ...string) {
	m.net.t.Helper()
	m.startAs(nil, yielding(append([]string{m.net.binary, "start", "--home", m.home, "-o", "json"}, flags...)...))
}

// streams is how many streams the node serves.
func (m *member) streams() int {
	m.net.t.Helper()
	return int(m.scrape()("cairn_api_streams"))
}

// awaitStreams waits until the validators serve one stream to each listener behind them, and these one to the listener
// behind them, however many readers that has: a switch leaves two for a moment.
func (n *testnet) awaitStreams(up []*member) {
	n.t.Helper()
	sum := func(all []*member) (open int) {
		for _, m := range all {
			open += m.streams()
		}
		return open
	}
	n.await("there is one stream to each listener", func() bool { return sum(n.members) == len(up) && sum(up) == 1 })
}

// failedRounds is how many rounds the validators left without a certificate of their block.
func (n *testnet) failedRounds() (sum int) {
	n.t.Helper()
	for _, m := range n.members {
		sum += int(m.scrape()(`cairn_rounds_entered_total{reason="tc"}`))
	}
	return sum
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
		m.startYielding()
		m.awaitReady()
	}
	return kills
}
