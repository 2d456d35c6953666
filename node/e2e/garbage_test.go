//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/node/peer"
)

const (
	// garbageRate is how much the attackers offer together, per second; they get as far as the host does.
	garbageRate = 50_000
	// garbageBatch is how much of it is in one message.
	garbageBatch = 250
	// attackersPerNode have an address and a stream each.
	attackersPerNode = 2
	// honestPause is between two transfers of one honest client.
	honestPause = 100 * time.Millisecond
	// mostMemory is what a node may take, in bytes: its caches and pool at their limits, and the collector's share.
	mostMemory = 768 << 20
)

// garbage is a kind of transaction that is never taken: a body and a key of which nobody has the signature.
type garbage struct {
	reason    cairnv1.ErrorReason_Value // for which it is refused
	body, key []byte
}

// newGarbage makes one of each kind. mark has funds, and is the one whose transactions are dear to refuse.
func (n *testnet) newGarbage(r *rand.Rand, mark *wallet) []garbage {
	n.t.Helper()
	poor := randomWallet(r)
	made := func(reason cairnv1.ErrorReason_Value, from *wallet, change func(*ledger.Body)) garbage {
		to, err := ledger.ParseAddress(addressPrefix, n.bob.address)
		if err != nil {
			n.t.Fatal(err)
		}
		sender, err := ledger.ParseAddress(addressPrefix, from.address)
		if err != nil {
			n.t.Fatal(err)
		}
		body := ledger.Body{ChainID: n.chainID, Sender: sender, Fee: 1000, Outputs: []ledger.Output{{To: to, Amount: 1}}}
		change(&body)
		raw, err := body.Encode(addressPrefix)
		if err != nil {
			n.t.Fatal(err)
		}
		return garbage{reason, raw, from.public()}
	}
	all := []garbage{
		made(cairnv1.ErrorReason_BAD_SIGNATURE, mark, func(*ledger.Body) {}),
		made(cairnv1.ErrorReason_INSUFFICIENT_BALANCE, poor, func(*ledger.Body) {}),
		made(cairnv1.ErrorReason_EXPIRED, mark, func(b *ledger.Body) { b.ExpiresAt = 1 }),
		made(cairnv1.ErrorReason_WRONG_CHAIN, mark, func(b *ledger.Body) { b.ChainID += "x" }),
	}
	return append(all, garbage{cairnv1.ErrorReason_MALFORMED_TRANSACTION, all[0].body[1:], mark.public()})
}

// nobodys returns signatures that nobody made, another one each time: a point of the curve and a scalar in its range, or
// they would be refused without a computation.
func nobodys(r *rand.Rand) func() []byte {
	points := make([][]byte, 64)
	for i := range points {
		points[i] = randomWallet(r).public()
	}
	return func() []byte {
		raw := slices.Clone(points[r.IntN(len(points))])
		for range 4 {
			raw = binary.LittleEndian.AppendUint64(raw, r.Uint64())
		}
		raw[63] &= 0x0f
		return raw
	}
}

// attack is what garbage is offered and what becomes of it.
type attack struct {
	net      *testnet
	kinds    []garbage
	ctx      context.Context
	end      context.CancelFunc
	group    sync.WaitGroup
	answered atomic.Int64
	shared   atomic.Int64 // by the hostile peer

	mu      sync.Mutex
	reasons []map[cairnv1.ErrorReason_Value]int // by kind
}

// begin has attackers offer garbage to all nodes until end.
func (a *attack) begin() {
	a.ctx, a.end = context.WithCancel(context.Background())
	a.net.t.Cleanup(func() { a.end(); a.group.Wait() })
	a.reasons = make([]map[cairnv1.ErrorReason_Value]int, len(a.kinds))
	for i := range a.kinds {
		a.reasons[i] = map[cairnv1.ErrorReason_Value]int{}
	}
	for i := range attackersPerNode * len(a.net.members) {
		m := a.net.members[i%len(a.net.members)]
		r := a.net.random(fmt.Sprint("attacker ", i))
		a.group.Go(func() {
			if err := a.attack(m, fmt.Sprintf("127.0.0.%d", 2+i), r); err != nil && a.ctx.Err() == nil {
				a.net.t.Errorf("attacker %d: %v", i, err)
			}
		})
	}
}

// attack offers on one stream from an address of its own, and learns what becomes of it.
func (a *attack) attack(m *member, address string, r *rand.Rand) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := client.Dial(m.rpc, grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", to)
	}))
	if err != nil {
		return err
	}
	defer c.Close()
	stream, err := c.StreamSubmissions(a.ctx)
	if err != nil {
		return err
	}
	signature := nobodys(r)
	a.group.Go(func() {
		interval := time.Second * garbageBatch * time.Duration(attackersPerNode*len(a.net.members)) / garbageRate
		every(a.ctx, interval, func() {
			batch := make([]*cairnv1.SignedTransaction, garbageBatch)
			for i := range batch {
				g := a.kinds[i%len(a.kinds)]
				batch[i] = &cairnv1.SignedTransaction{
					Body: g.body, PublicKey: hex.EncodeToString(g.key), Signature: hex.EncodeToString(signature()),
				}
			}
			if err := stream.Send(batch...); err != nil && !errors.Is(err, io.EOF) && a.ctx.Err() == nil {
				a.net.t.Errorf("attacker of %s: %v", m.name, err)
			}
		})
	})
	for {
		first, outcomes, err := stream.Receive()
		if err != nil {
			return err
		}
		a.answered.Add(int64(len(outcomes)))
		a.mu.Lock()
		for i, o := range outcomes {
			a.reasons[(int(first)+i)%garbageBatch%len(a.kinds)][o.GetError().GetReason()]++
		}
		a.mu.Unlock()
	}
}

// share is what the hostile validator does to every peer that lets it.
func (a *attack) share(r *rand.Rand) func(context.Context, func(peer.Batch) error) error {
	var mu sync.Mutex
	signature := nobodys(r)
	return func(ctx context.Context, send func(peer.Batch) error) error {
		for id := uint64(1); ctx.Err() == nil; id++ {
			var txs [][]byte
			mu.Lock()
			for i := range peer.MaxBatchTransactions {
				g := a.kinds[i%len(a.kinds)]
				txs = append(txs, slices.Concat(g.key, signature(), g.body))
			}
			mu.Unlock()
			if err := send(peer.Batch{ID: id, Transactions: txs}); err != nil {
				return err
			}
			a.shared.Add(int64(len(txs)))
			pause(ctx, time.Second*peer.MaxBatchTransactions*3/garbageRate)
		}
		return ctx.Err()
	}
}

// check says what was refused for what, and that all of it was, for the reason of its kind or because there was too much.
func (a *attack) check() {
	for i, kind := range a.kinds {
		for reason, times := range a.reasons[i] {
			if reason != kind.reason && reason != cairnv1.ErrorReason_RATE_LIMITED {
				a.net.t.Errorf("%d transactions that are %v were answered %v", times, kind.reason, reason)
			}
		}
		if a.reasons[i][kind.reason] < count(100, 1000) {
			a.net.t.Errorf("too little garbage: of %v %v", kind.reason, a.reasons[i])
		}
	}
	a.net.t.Logf("refused: %v", a.reasons)
}

// beginHonest has each of the customers transfer now and then; latencies are what commits took.
func (c *customers) beginHonest(latencies *latencies) {
	for i, from := range c.own {
		c.group.Add(1)
		go func() {
			defer c.group.Done()
			r := c.bed.random(fmt.Sprint("honest ", i))
			for sequence := uint64(0); ; sequence++ {
				select {
				case <-c.drain:
					return
				case <-c.ctx.Done():
					return
				default:
				}
				begin := time.Now()
				if !c.commit(r, from.transfer(c.chainID, sequence, 1+r.Uint64N(3), output{c.shared[0].address, 1})) {
					return
				}
				latencies.add(time.Since(begin))
				pause(c.ctx, honestPause)
			}
		}()
	}
}

// latencies are durations. Safe for concurrent use.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// take returns those since the last call, ascending.
func (l *latencies) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	slices.Sort(all)
	return all
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, median %v, p90 %v, longest %v", len(all), all[len(all)/2].Round(time.Millisecond),
		all[len(all)*9/10].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
}

// endings counts how the rounds of all nodes ended.
func (n *testnet) endings() (byQC, byTC float64) {
	n.t.Helper()
	for _, m := range n.members {
		read := m.scrape()
		byQC += read(`cairn_rounds_entered_total{reason="qc"}`)
		byTC += read(`cairn_rounds_entered_total{reason="tc"}`)
	}
	return byQC, byTC
}

// memory is the most that any node takes, in bytes.
func (n *testnet) memory() (most float64) {
	n.t.Helper()
	for _, m := range n.members {
		most = max(most, m.scrape()("process_resident_memory_bytes"))
	}
	return most
}

// R02: garbage, at whatever rate the host can offer up to 50,000/s, on streams from several addresses to every node and
// from the fourth validator: all of it is refused with its reason, none costs a round, memory stays bounded, and what honest
// clients post at a light rate is committed.
func TestGarbage(t *testing.T) {
	n := newTestnet(newBed(t))
	hostile := n.members[len(n.members)-1]
	a := &attack{net: n}
	sharing := make(chan struct{})
	hostile.haunt(func(g *ghost) {
		share := a.share(n.random("hostile validator"))
		g.share = func(ctx context.Context, send func(peer.Batch) error) error {
			select {
			case <-sharing:
				return share(ctx, send)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	n.members = n.others(hostile)
	n.startAll()
	c := n.newCustomers()
	a.kinds = n.newGarbage(n.random("garbage"), c.shared[1])
	took := &latencies{}
	c.beginHonest(took)
	c.awaitMore(10) // the hostile validator, who leads nothing, has lost its first rounds
	took.take()
	pause(t.Context(), time.Duration(count(3, 20))*time.Second)
	before, memory := took.take(), n.memory()
	qc, tc := n.endings()

	length := time.Duration(count(6, 60)) * time.Second
	begin := time.Now()
	close(sharing)
	a.begin()
	most := 0.0
	for time.Since(begin) < length {
		pause(t.Context(), time.Second)
		most = max(most, n.memory())
	}
	answered, lasted := a.answered.Load(), time.Since(begin)
	during := took.take()
	qcAfter, tcAfter := n.endings()
	a.end()
	a.group.Wait()
	c.awaitMore(10)

	t.Logf("garbage: %.0f/s answered of at most %d/s, %d of it in %v, and %d shared by the hostile validator", float64(answered)/lasted.Seconds(),
		garbageRate, answered, lasted.Round(time.Millisecond), a.shared.Load())
	t.Logf("honest transfers before: %s; during: %s", spread(before), spread(during))
	t.Logf("memory of a node before: %.0f MiB, most: %.0f MiB; rounds by QC: %.0f, by TC: %.0f", memory/(1<<20), most/(1<<20), qcAfter-qc, tcAfter-tc)
	a.check()
	if most > mostMemory {
		t.Errorf("a node takes %.0f MiB, want at most %d", most/(1<<20), mostMemory>>20)
	}
	if rounds := qcAfter - qc; rounds < 30 || tcAfter-tc > rounds/10 {
		t.Errorf("%.0f rounds ended by a QC, %.0f by a TC", rounds, tcAfter-tc)
	}
	if len(before) < 10 || len(during) < count(20, 200) || a.shared.Load() < peer.MaxBatchTransactions {
		t.Error("too little happened")
	}
	n.agreed(c.finish())
	var mark account
	n.get(n.members[0].rest, "/v1/accounts/"+c.shared[1].address, &mark)
	if mark.Sequence != 0 || mark.Balance != senderFunds {
		t.Errorf("somebody signed for %+v", mark)
	}
	n.signedOnce()
}
