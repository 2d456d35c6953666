//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// customers are clients who transfer between accounts of their own and shared ones, and read them, by any node.
type customers struct {
	*load  // posts, and what was acknowledged
	diary  *diary
	own    []*wallet // of one client each
	shared []*wallet // of all
}

const (
	ownAccounts    = 5
	sharedAccounts = 2
)

// newCustomers gives new wallets funds of alice's, whose first transfer it is.
func (n *testnet) newCustomers() *customers {
	n.t.Helper()
	c := &customers{load: &load{bed: n.bed, chainID: n.chainID, urls: n.urls(), drain: make(chan struct{}), acked: map[string]receipt{}}, diary: newDiary()}
	c.ctx, c.abandon = context.WithCancel(context.Background())
	n.t.Cleanup(func() {
		c.abandon()
		c.group.Wait()
	})
	r := n.random("customers")
	var funds []output
	for i := range ownAccounts + sharedAccounts {
		w := randomWallet(r)
		if i < ownAccounts {
			c.own = append(c.own, w)
		} else {
			c.shared = append(c.shared, w)
		}
		funds = append(funds, output{w.address, senderFunds})
		c.diary.fund(w.address, senderFunds)
	}
	first := n.alice.transfer(n.chainID, 0, 1, funds...)
	if !c.commit(r, first) {
		n.t.Fatal("the customers got no funds")
	}
	c.diary.seen = c.acked[first.id].Height
	return c
}

// begin lets them act until finish.
func (c *customers) begin() {
	for i := range c.own {
		c.group.Add(1)
		go func() {
			defer c.group.Done()
			c.act(i, c.bed.random(fmt.Sprint("customer ", i)))
		}()
	}
}

// act does one thing after another.
func (c *customers) act(client int, r *rand.Rand) {
	for {
		select {
		case <-c.drain:
			return
		case <-c.ctx.Done():
			return
		default:
		}
		mine, one := c.own[client], c.shared[r.IntN(len(c.shared))]
		ok := true
		switch r.IntN(4) {
		case 0, 1:
			ok = c.send(client, r, mine, one.address)
		case 2:
			ok = c.send(client, r, one, c.own[r.IntN(len(c.own))].address)
		case 3:
			_, ok = c.look(client, r, one.address)
		}
		if !ok {
			return
		}
	}
}

// look reads an account at least at the height that anybody was told of; false: given up.
func (c *customers) look(client int, r *rand.Rand, address string) (account, bool) {
	asked, height := c.diary.instant(), c.diary.height()
	for c.ctx.Err() == nil {
		var a struct {
			account
			refusal
		}
		status, err := c.ask(r, fmt.Sprintf("/v1/accounts/%s?minHeight=%d", address, height), &a)
		if err == nil && status == http.StatusOK {
			if a.Height < height {
				c.bed.t.Errorf("account %s was read at height %d, not at %d", address, a.Height, height)
			}
			c.diary.note(address, client, asked, deed{kind: reads, sequence: a.Sequence, amount: a.Balance}, a.Height)
			return a.account, true
		}
		if err == nil && !passing[a.reason()] && a.reason() != "HEIGHT_NOT_REACHED" {
			c.bed.t.Errorf("account %s: %d %+v", address, status, a)
			return account{}, false
		}
		pause(c.ctx, retryPause)
	}
	return account{}, false
}

func (c *customers) ask(r *rand.Rand, path string, into any) (int, error) {
	ctx, cancel := context.WithTimeout(c.ctx, postTimeout)
	defer cancel()
	return call(ctx, c.urls[r.IntN(len(c.urls))]+path, nil, into)
}

// send transfers with the sequence that it reads, and learns whether that was it who got it; false: given up.
func (c *customers) send(client int, r *rand.Rand, from *wallet, to string) bool {
	before, ok := c.look(client, r, from.address)
	if !ok {
		return false
	}
	fee, amount := 1+r.Uint64N(50), 1+r.Uint64N(50)
	t := from.transfer(c.chainID, before.Sequence, fee, output{to, amount})
	asked := c.diary.instant()
	done, at, ok := c.fate(client, r, from, before.Sequence, t)
	if !ok {
		return false
	}
	c.diary.note(from.address, client, asked, deed{sends, before.Sequence, amount + fee, done}, at)
	if done {
		c.diary.note(to, client, asked, deed{kind: deposits, amount: amount}, at)
	}
	return true
}

// fate posts a transaction until it is committed, or another one with its sequence is; and says at which height that is
// known. False: given up.
func (c *customers) fate(client int, r *rand.Rand, from *wallet, sequence uint64, t transfer) (done bool, at uint64, ok bool) {
	for c.ctx.Err() == nil {
		status, answer := c.post(r, t, "2s")
		if status == http.StatusOK && answer.State == "COMMITTED" {
			return c.committedAt(t, answer.Receipt)
		}
		if status == http.StatusOK && answer.State == "PENDING" || status == 0 || passing[answer.reason()] {
			pause(c.ctx, retryPause)
			continue
		}
		now, ok := c.look(client, r, from.address)
		if !ok {
			return false, 0, false
		}
		if now.Sequence == sequence {
			pause(c.ctx, retryPause)
			continue // whoever is in its place is not committed yet
		}
		return c.verdict(r, t, now.Height)
	}
	return false, 0, false
}

// verdict asks for a transaction whose sequence is taken.
func (c *customers) verdict(r *rand.Rand, t transfer, height uint64) (done bool, at uint64, ok bool) {
	for c.ctx.Err() == nil {
		var found struct {
			committed
			refusal
		}
		status, err := c.ask(r, fmt.Sprintf("/v1/transactions/%s?minHeight=%d", t.id, height), &found)
		switch {
		case err != nil || found.reason() == "HEIGHT_NOT_REACHED" || passing[found.reason()]:
		case status == http.StatusOK && found.State == "COMMITTED":
			return c.committedAt(t, found.Receipt)
		default:
			return false, height, true
		}
		pause(c.ctx, retryPause)
	}
	return false, 0, false
}

func (c *customers) committedAt(t transfer, at receipt) (bool, uint64, bool) {
	if at.Code != "OK" {
		c.bed.t.Errorf("transaction %s: %+v", t.id, at)
		return false, 0, false
	}
	c.mu.Lock()
	c.acked[t.id] = at
	c.mu.Unlock()
	return true, at.Height, true
}

// Clients that share accounts see one history, whatever happens to the nodes and the network: each transaction is committed
// once or never, what was acknowledged stays, reads are of what was committed before them, and each account is
// linearizable. Streams that follow meanwhile have every height once.
func TestHistoriesAreLinearizable(t *testing.T) {
	n := newTestnet(newBed(t))
	n.addLinks()
	n.startAll()
	c := n.newCustomers()
	followers := n.startFollowers()
	c.begin()
	c.awaitMore(10)
	r := n.random("troubles")
	troubles := count(6, 120)
	for i := range troubles {
		if i%20 == 19 {
			t.Logf("%d of %d troubles, %d transfers acknowledged", i, troubles, c.committed())
		}
		if i%2 == 0 {
			victim := n.members[r.IntN(len(n.members))]
			victim.kill()
			c.awaitMore(5)
			victim.start()
			victim.awaitReady()
		} else {
			p := partitions[r.IntN(len(partitions))]
			p.make(r, len(n.members)).apply(n.links)
			pause(t.Context(), time.Duration(r.Int64N(int64(2*time.Second))))
			n.links.heal()
		}
		c.awaitMore(10)
	}
	acked := c.finish()
	history := n.agreed(acked)
	followers.check(history)
	if bad := c.diary.check(); len(bad) > 0 {
		t.Errorf("not linearizable: %v", bad)
	}
	t.Logf("%d transfers acknowledged; reads, sends, deposits: %v; %d sends lost their sequence to another", len(acked), c.diary.kind, c.diary.lost)
	if len(acked) < count(60, 1200) || c.diary.kind[reads] < len(acked) || c.diary.lost == 0 {
		t.Error("too little happened")
	}
	n.signedOnce()
}

// followers read the commits of one node each, and hang up at random instants.
type followers struct {
	net   *testnet
	all   []*reader
	ended chan error
	goal  atomic.Int64
}

func (n *testnet) startFollowers() *followers {
	n.t.Helper()
	rs := &followers{net: n}
	ctx, cancel := context.WithCancel(n.t.Context())
	n.t.Cleanup(cancel)
	ways := []func(*reader, context.Context, *member) error{(*reader).lines, (*reader).events, (*reader).sdk}
	rs.ended = make(chan error, len(ways))
	for i, once := range ways {
		m := n.members[i]
		r := &reader{name: fmt.Sprint("reader of ", m.name)}
		rs.all = append(rs.all, r)
		instants := n.random(r.name)
		go func() {
			rs.ended <- r.follow(ctx, func(ctx context.Context) error { return once(r, ctx, m) }, instants, &rs.goal)
		}()
	}
	return rs
}

// check waits until all have read the whole history, and compares.
func (rs *followers) check(h *history) {
	n := rs.net
	n.t.Helper()
	rs.goal.Store(int64(len(h.blocks)))
	for range rs.all {
		select {
		case err := <-rs.ended:
			if err != nil {
				n.t.Fatal(err)
			}
		case <-time.After(patience):
			n.t.Fatalf("the readers have not read %d heights", len(h.blocks))
		}
	}
	for _, r := range rs.all {
		n.t.Logf("%s: %d heights, %d connections", r.name, len(r.ids), r.connects)
		if r.connects < 10 {
			n.t.Errorf("%s connected %d times", r.name, r.connects)
		}
		for height, b := range h.blocks {
			if r.ids[height] != b.ID {
				n.t.Errorf("%s: height %d: block %s, the chain has %s", r.name, height, r.ids[height], b.ID)
			}
		}
	}
}
