package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// world is a cluster of real engines with real storage, pools and application on one thread and a virtual clock.
type world struct {
	t        *testing.T
	now      time.Time
	genesis  *consensus.Genesis
	members  []*member
	queue    []func() error
	later    []delayed                                                             // what comes when time has gone on
	proposal *consensus.Message                                                    // the latest
	bodies   int                                                                   // transactions that rode inline
	named    int                                                                   // and those left out
	give     func(req consensus.PayloadRequest, honest [][]byte) ([][]byte, error) // what requests for transactions get; nil: the truth
	signed   map[string][]byte                                                     // kind, signer and round of everything on the wire: what was signed
	leaves   func(*member, *consensus.Message) bool                                // called when something is broadcast: true: nobody gets it; may be nil
}

// member is one validator. Its disks outlive its engine.
type member struct {
	w        *world
	i        int
	id       consensus.ValidatorID
	signer   consensusSigner
	kv       *storagetest.Memory
	disk     *storagetest.Disk
	alive    bool
	life     int // counts restarts: work of an earlier life is dropped
	store    *storage.Store
	pool     *mempool.Pool
	engine   *engine.Engine
	fetched  int
	lost     string                     // what the safety record said at the last start that the store had lost
	asked    []consensus.PayloadRequest // for transactions
	within   time.Duration              // that the last one had left, of real time
	rejected int                        // proposals
	slow     int                        // how many other pieces of work are done before a write of commits is
	writing  bool                       // such a write is under way
	app      app.App
	spent    func() time.Duration // how long the work just done takes; nil: no time
}

// delayed is a piece of work of which others hear when its time has come.
type delayed struct {
	at   time.Time
	work func() error
}

type consensusSigner = consensustest.FastSigner

func newWorld(t *testing.T, rule consensus.CommitRule, n int) *world {
	w := &world{t: t, now: time.UnixMilli(1_800_000_000_000).UTC(), signed: map[string][]byte{}}
	var validators []consensus.Validator
	for i := range n {
		m := &member{w: w, i: i, signer: consensustest.NewFastSigner(fmt.Sprint("validator ", i)), app: counter.Counter{}}
		m.id = consensus.IDOf(m.signer.Public())
		m.kv, m.disk = storagetest.NewMemory(nil), storagetest.NewDisk(nil)
		w.members = append(w.members, m)
		validators = append(validators, consensus.Validator{ID: m.id, Name: fmt.Sprint("v", i), Key: m.signer.Public(), Power: 1})
	}
	set, err := consensus.NewValidatorSet(validators)
	must(t, err)
	w.genesis = &consensus.Genesis{
		ChainID: "world", Rule: rule, ContiguousRounds: rule.ContiguousRounds(), Election: consensus.Reputation,
		Timestamp: consensus.Timestamp(w.now.UnixMilli()), Validators: set, AppDocument: []byte("{}"),
	}
	for _, m := range w.members {
		must(t, storage.CreateSafetyRecordIn(m.disk, m.identity(), safety.Initial(consensus.FirstEpoch)))
		m.start()
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *member) identity() storage.RecordIdentity {
	return storage.RecordIdentity{ChainID: m.w.genesis.ChainID, Genesis: m.w.genesis.Hash(), Key: m.signer.Public()}
}

func (m *member) start() {
	t := m.w.t
	t.Helper()
	store, err := storage.Open(m.kv, storage.Genesis{Chain: m.w.genesis})
	must(t, err)
	record, err := storage.OpenSafetyRecordIn(m.disk, m.identity())
	must(t, err)
	m.store, m.alive, m.lost = store, true, store.Lost(record.State())
	m.pool = mempool.New(mempool.Config{App: m.app, State: store.State, Now: func() time.Time { return m.w.now }})
	verifier := &consensus.Verifier{
		Domain: m.w.genesis.Domain(), Set: m.w.genesis.Validators, Genesis: store.Genesis(), Scheme: consensustest.FastScheme{},
	}
	m.engine, err = engine.New(engine.Config{
		Self: m.id, Verifier: verifier, ContiguousRounds: m.w.genesis.ContiguousRounds,
		Election: core.ElectionOf(m.w.genesis),
		Timing:   core.DefaultTiming(), Room: mempool.Room{Transactions: 100, Bytes: 1 << 20}, FetchTimeout: time.Second,
	}, engine.Env{
		Clock: m, Async: m, Transport: m, Signer: m.signer, Safety: record, Store: store, App: m.app, Pool: m.pool,
		Observer: engine.Observer{Note: m.note, Stage: func(engine.Stage) {}},
	})
	must(t, err)
	for _, other := range m.w.members {
		if other != m && other.alive && other.engine != nil {
			m.post(engine.Connected(other.id))
			other.post(engine.Connected(m.id))
		}
	}
}

// crash loses whatever was not synced.
func (m *member) crash() {
	m.alive = false
	m.life++
	m.kv = m.kv.Crash(0, nil)
	m.disk = m.disk.Crash(0, nil)
}

// Now is the Clock.
func (m *member) Now() time.Time { return m.w.now }

// After is part of the Clock: nothing else is going on in a world while work is done.
func (m *member) After(time.Duration) <-chan time.Time {
	now := make(chan time.Time)
	close(now)
	return now
}

func (m *member) post(task engine.Task) {
	life := m.life
	m.w.queue = append(m.w.queue, func() error {
		if !m.alive || m.life != life || task == nil {
			return nil
		}
		return task(m.engine)
	})
}

// Go is part of Async: the work is done when its turn comes, its answer is queued then.
func (m *member) Go(work func(context.Context) engine.Task) {
	if _, _, writing := m.held(); m.slow > 0 && writing > 0 && !m.writing { // this is the write
		m.writing = true
		m.goLate(m.slow, work)
		return
	}
	m.goNow(work)
}

func (m *member) held() (building, commits, writing int) {
	if m.engine == nil {
		return 0, 0, 0
	}
	return m.engine.Held()
}

// goLate lets others go first.
func (m *member) goLate(others int, work func(context.Context) engine.Task) {
	if others == 0 {
		m.goNow(func(ctx context.Context) engine.Task {
			m.writing = false
			return work(ctx)
		})
		return
	}
	m.w.queue = append(m.w.queue, func() error { m.goLate(others-1, work); return nil })
}

func (m *member) goNow(work func(context.Context) engine.Task) {
	life := m.life
	m.w.queue = append(m.w.queue, func() error {
		if !m.alive || m.life != life {
			return nil
		}
		task := work(context.Background())
		if m.spent != nil {
			if d := m.spent(); d > 0 {
				m.w.later = append(m.w.later, delayed{m.w.now.Add(d), func() error {
					if m.life == life {
						m.post(task)
					}
					return nil
				}})
				return nil
			}
		}
		m.post(task)
		return nil
	})
}

// Broadcast is part of Transport.
func (m *member) Broadcast(msg *consensus.Message) {
	m.record(msg)
	if m.w.leaves != nil && m.w.leaves(m, msg) {
		return
	}
	for _, other := range m.w.members {
		if other != m {
			other.deliver(m.id, msg)
		}
	}
}

// Send is part of Transport.
func (m *member) Send(to consensus.ValidatorID, msg *consensus.Message) {
	m.record(msg)
	for _, other := range m.w.members {
		if other.id == to {
			other.deliver(m.id, msg)
		}
	}
}

func (m *member) deliver(from consensus.ValidatorID, msg *consensus.Message) {
	if msg.Compact != nil {
		m.w.proposal = msg
		for _, part := range msg.Compact.Parts {
			if part.Body != nil {
				m.w.bodies++
			} else {
				m.w.named++
			}
		}
		compact, err := consensus.DecodeCompactProposal(msg.Compact.Encode())
		must(m.w.t, err)
		msg = &consensus.Message{Sync: msg.Sync, Compact: compact}
	}
	life := m.life
	m.w.queue = append(m.w.queue, func() error {
		if !m.alive || m.life != life {
			return nil
		}
		task, err := m.engine.Verify(from, msg)
		if err != nil {
			return fmt.Errorf("member %d refuses an honest %s: %w", m.i, msg.Kind(), err)
		}
		return task(m.engine)
	})
}

// record fails the test when somebody signs two different things of a kind in one round.
func (m *member) record(msg *consensus.Message) {
	signer := m.id
	if msg.Vote != nil {
		signer = msg.Vote.Signer // it may be repeated by another
	} else if msg.Timeout != nil {
		signer = msg.Timeout.Signer
	}
	note := func(kind string, round consensus.Round, content []byte) {
		key := fmt.Sprint(kind, signer, round)
		if before, ok := m.w.signed[key]; ok && !bytes.Equal(before, content) {
			m.w.t.Fatalf("member %d signed two %ss in round %d", m.i, kind, round)
		}
		m.w.signed[key] = content
	}
	switch {
	case msg.Proposal != nil:
		id := msg.Proposal.Block.ID()
		signer = msg.Proposal.Block.Proposer
		note("proposal", msg.Round(), id[:])
	case msg.Vote != nil:
		note("vote", msg.Round(), msg.Vote.Encode())
	case msg.Timeout != nil:
		note("timeout", msg.Round(), msg.Timeout.Encode())
	}
}

var errUnreachable = errors.New("unreachable")

// Fetch is part of Transport.
func (m *member) Fetch(_ context.Context, peer consensus.ValidatorID, req consensus.FetchRequest) (*consensus.Chunk, error) {
	for _, other := range m.w.members {
		if other.id == peer && other.alive {
			chunk, err := other.store.Chain(req, min(16, req.Limit()), 1<<20)
			if err == nil {
				m.fetched += len(chunk.Blocks)
			}
			return chunk, err
		}
	}
	return nil, errUnreachable
}

// FetchTransactions is part of Transport.
func (m *member) FetchTransactions(ctx context.Context, peer consensus.ValidatorID, req consensus.PayloadRequest) ([][]byte, error) {
	m.asked = append(m.asked, req)
	if deadline, ok := ctx.Deadline(); ok {
		m.within = time.Until(deadline)
	}
	for _, other := range m.w.members {
		if other.id == peer && other.alive {
			txs, err := other.engine.Payload(req.Block, req.Positions, 1<<20)
			if m.w.give != nil {
				return m.w.give(req, txs)
			}
			return txs, err
		}
	}
	return nil, errUnreachable
}

// maxSteps bounds a run: a world that does not get there is stuck.
const maxSteps = 200_000

// run works until done holds; when nothing is left to do, time goes on to the next armed timer.
func (w *world) run(what string, done func() bool) {
	w.t.Helper()
	for range maxSteps {
		if done() {
			return
		}
		if len(w.queue) > 0 {
			next := w.queue[0]
			w.queue = w.queue[1:]
			must(w.t, next())
			continue
		}
		w.wakeForWork()
		if len(w.queue) == 0 {
			w.fireNext()
		}
	}
	w.t.Fatalf("%s: not reached in %d steps; members: %s", what, maxSteps, w)
}

// wakeForWork stands for the loop's wait on the pool.
func (w *world) wakeForWork() {
	for _, m := range w.members {
		if m.alive && m.engine.HasNewWork() {
			m.post(engine.LookForWork)
		}
	}
}

func (w *world) fireNext() {
	var due *member
	next := -1
	for i, d := range w.later {
		if next < 0 || d.at.Before(w.later[next].at) {
			next = i
		}
	}
	for _, m := range w.members {
		if m.alive && (due == nil || m.engine.Armed().Before(due.engine.Armed())) {
			due = m
		}
	}
	if next >= 0 && !due.engine.Armed().Before(w.later[next].at) {
		w.now = w.later[next].at
		w.queue = append(w.queue, w.later[next].work)
		w.later = slices.Delete(w.later, next, next+1)
		return
	}
	if due.engine.Armed().After(w.now) {
		w.now = due.engine.Armed()
	}
	due.post(engine.TimerFired)
}

// runFor runs for a time.
func (w *world) runFor(d time.Duration) {
	end := w.now.Add(d)
	w.run(fmt.Sprint("after ", d), func() bool { return !w.now.Before(end) })
}

func (w *world) String() string {
	var out string
	for _, m := range w.members {
		s := m.engine.Status()
		out += fmt.Sprintf("\n%d alive=%v round=%d high=%v tip=%v stored=%v", m.i, m.alive, s.Round, s.HighQC, s.Root, m.store.Tip())
	}
	return out
}

// submit gives a transaction to every living member's pool.
func (w *world) submit(tx app.Tx) {
	w.t.Helper()
	for _, m := range w.members {
		if m.alive {
			status, err := m.pool.Add(tx, mempool.Client)
			must(w.t, err)
			if status.Code != mempool.Accepted && status.Code != mempool.Known {
				w.t.Fatalf("member %d refuses %q: %v", m.i, tx, status)
			}
		}
	}
}

func (m *member) count(name string) uint64 {
	n, err := counter.Read(m.store.State(), name)
	must(m.w.t, err)
	return n
}

// everyLiving reports whether all living members have counted name to n.
func (w *world) everyLiving(name string, n uint64) func() bool {
	return func() bool {
		for _, m := range w.members {
			if m.alive && m.count(name) != n {
				return false
			}
		}
		return true
	}
}

var scheme signature.Scheme = consensustest.FastScheme{}
