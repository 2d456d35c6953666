package engine_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/mempool"
)

// padded is a counter whose transactions are followed by zeros, so that they are too large to ride inline.
type padded struct{ counter.Counter }

func bare(tx app.Tx) app.Tx { return bytes.TrimRight(tx, "\x00") }

// paddedTx is a transaction of size bytes.
func paddedTx(name string, number uint64, size int) app.Tx {
	return append(counter.Tx(name, number), make([]byte, size)...)[:size]
}

func (p padded) Check(s app.State, tx app.Tx) (app.TxInfo, error) {
	info, err := p.Counter.Check(s, bare(tx))
	if err == nil {
		info.ID = sha256.Sum256(tx)
	}
	return info, err
}

func (p padded) Prepare(s app.State, h app.Header, candidates []app.Tx) (kept []app.Tx, dropped []app.Dropped, err error) {
	full := map[string]app.Tx{}
	var inner []app.Tx
	for _, tx := range candidates {
		full[string(bare(tx))] = tx
		inner = append(inner, bare(tx))
	}
	kept, dropped, err = p.Counter.Prepare(s, h, inner)
	for i, tx := range kept {
		kept[i] = full[string(tx)]
	}
	for i, d := range dropped {
		dropped[i].Tx = full[string(d.Tx)]
	}
	return kept, dropped, err
}

func (p padded) Execute(s app.State, b app.Block) (app.Result, error) {
	inner := app.Block{Header: b.Header}
	for _, tx := range b.Transactions {
		inner.Transactions = append(inner.Transactions, bare(tx))
	}
	result, err := p.Counter.Execute(s, inner)
	for i := range result.Receipts {
		result.Receipts[i].ID = sha256.Sum256(b.Transactions[i])
	}
	return result, err
}

// newPaddedWorld is four members with padded counters.
func newPaddedWorld(t *testing.T, rule consensus.CommitRule) *world {
	w := newWorld(t, rule, 4)
	for _, m := range w.members {
		m.crash()
	}
	w.queue = nil
	for _, m := range w.members {
		m.app = padded{}
		m.start()
	}
	return w
}

// add offers a transaction to some members only.
func (w *world) add(tx app.Tx, to ...*member) {
	w.t.Helper()
	for _, m := range to {
		status, err := m.pool.Add(tx, mempool.Client)
		must(w.t, err)
		if status.Code != mempool.Accepted {
			w.t.Fatalf("member %d: %v", m.i, status)
		}
	}
}

// askedFor returns the hashes of what a member asked others for, each request of one round counted.
func (m *member) askedFor() map[consensus.Hash]int {
	out := map[consensus.Hash]int{}
	for _, req := range m.asked {
		for _, h := range req.Hashes {
			out[h]++
		}
	}
	return out
}

func TestNothingIsFetchedThatPoolsHold(t *testing.T) {
	underBothRules(t, func(t *testing.T, rule consensus.CommitRule) {
		w := newPaddedWorld(t, rule)
		for i := range uint64(20) {
			w.submit(paddedTx("a", i, engine.InlineMax+1))
			w.run("commit", w.everyLiving("a", i+1))
		}
		for _, m := range w.members {
			if len(m.asked) > 0 {
				t.Errorf("member %d asked for %v", m.i, m.asked)
			}
		}
		w.checkAgreement()
		if w.bodies > 0 || w.named == 0 {
			t.Errorf("%d transactions rode inline, %d were named", w.bodies, w.named)
		}
	})
}

// TestSmallTransactionsRideInline: at the limit a transaction is in the proposal, and nobody needs it.
func TestSmallTransactionsRideInline(t *testing.T) {
	w := newPaddedWorld(t, consensus.TwoChain)
	for i := range uint64(8) {
		w.add(paddedTx("a", i, engine.InlineMax), w.members[i%4])
		w.run("commit", w.everyLiving("a", i+1))
	}
	for _, m := range w.members {
		if len(m.asked) > 0 {
			t.Errorf("member %d asked for %v", m.i, m.asked)
		}
	}
}

// TestMissingAreFetched: a member that lacks some of a block's transactions asks for exactly those, once, and has the whole
// block stored before it votes; a member with an empty pool asks for all.
func TestMissingAreFetched(t *testing.T) {
	underBothRules(t, func(t *testing.T, rule consensus.CommitRule) {
		w := newPaddedWorld(t, rule)
		poor, empty := w.members[2], w.members[3]
		lacks := map[consensus.Hash]int{}
		all := map[consensus.Hash]int{}
		const n = 12
		for i := range uint64(n) {
			tx := paddedTx(fmt.Sprint("name ", i%3)[5:], i/3, 200)
			all[sha256.Sum256(tx)] = 1
			to := w.members[:2]
			if i%4 != 1 {
				to = w.members[:3]
			} else {
				lacks[sha256.Sum256(tx)] = 1
			}
			w.add(tx, to...)
		}
		w.run("commit", w.everyLiving("0", n/3))
		w.runFor(time.Second)
		if got := poor.askedFor(); !sameHashes(got, lacks) {
			t.Errorf("it asked for %d transactions, it lacks %d", len(got), len(lacks))
		}
		if got := empty.askedFor(); !sameHashes(got, all) {
			t.Errorf("with an empty pool it asked for %d transactions of %d", len(got), len(all))
		}
		w.checkAgreement()
		if poor.fetched+empty.fetched > 0 {
			t.Errorf("%d and %d blocks were fetched: the proposals came too late", poor.fetched, empty.fetched)
		}
		for h := consensus.Height(1); h <= empty.store.Tip().Height; h++ {
			record, err := empty.store.Block(h)
			must(t, err)
			if consensus.PayloadRoot(record.Block.Payload) != record.Block.PayloadRoot {
				t.Errorf("height %d is stored with another payload", h)
			}
		}
	})
}

func sameHashes(got, want map[consensus.Hash]int) bool {
	for h, n := range got {
		if n != want[h] {
			return false
		}
	}
	return len(got) == len(want)
}

// TestShortAnswers: a peer may give fewer than asked for; the rest is asked for again.
func TestShortAnswers(t *testing.T) {
	w := newPaddedWorld(t, consensus.TwoChain)
	w.give = func(_ consensus.PayloadRequest, honest [][]byte) ([][]byte, error) { return honest[:1], nil }
	for i := range uint64(6) {
		w.add(paddedTx("a", i, 200), w.members[:3]...)
	}
	w.run("commit", w.everyLiving("a", 6))
	if w.members[3].fetched > 0 || len(w.members[3].askedFor()) != 6 {
		t.Errorf("%d blocks fetched, %d transactions asked for", w.members[3].fetched, len(w.members[3].askedFor()))
	}
	w.checkAgreement()
}

// TestWrongBodiesAreRefused: whatever comes in the place of what is missing, nobody takes it in, and nothing is lost: the
// block is certified by the others and fetched.
func TestWrongBodiesAreRefused(t *testing.T) {
	other := [][]byte{paddedTx("b", 0, 200)}
	for name, give := range map[string]func(consensus.PayloadRequest, [][]byte) ([][]byte, error){
		"an error":    func(consensus.PayloadRequest, [][]byte) ([][]byte, error) { return nil, errUnreachable },
		"nothing":     func(consensus.PayloadRequest, [][]byte) ([][]byte, error) { return nil, nil },
		"another one": func(consensus.PayloadRequest, [][]byte) ([][]byte, error) { return other, nil },
		"more than that": func(_ consensus.PayloadRequest, h [][]byte) ([][]byte, error) {
			return append(slices.Clone(h), other...), nil
		},
		"a byte changed": func(_ consensus.PayloadRequest, h [][]byte) ([][]byte, error) {
			changed := bytes.Clone(h[0])
			changed[len(changed)-1] ^= 1
			return [][]byte{changed}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			underBothRules(t, func(t *testing.T, rule consensus.CommitRule) {
				w := newPaddedWorld(t, rule)
				w.give = give
				w.add(paddedTx("a", 0, 200), w.members[:3]...)
				w.run("commit", w.everyLiving("a", 1))
				last := w.members[3]
				if last.fetched == 0 || last.rejected == 0 {
					t.Errorf("%d blocks fetched, %d proposals rejected", last.fetched, last.rejected)
				}
				w.checkAgreement()
			})
		})
	}
}

// TestRebuildKeepsCertificates: the certificates of a proposal count although its transactions are nowhere to be had (P18).
func TestRebuildKeepsCertificates(t *testing.T) {
	w := newPaddedWorld(t, consensus.TwoChain)
	w.members[3].crash()
	w.add(paddedTx("a", 0, 200), w.members[:3]...)
	w.run("commit", w.everyLiving("a", 1))
	w.queue = nil
	w.members[3].start()
	w.queue = nil // it hears of nothing
	late := w.members[3]
	proposer := w.members[0]
	for _, m := range w.members[:3] {
		if m.engine.Status().Round > proposer.engine.Status().Round {
			proposer = m
		}
	}
	high := proposer.engine.Status()
	if late.engine.Status().Round >= high.Round {
		t.Fatalf("it is in round %d of %d already", late.engine.Status().Round, high.Round)
	}
	b := w.blockOn(high.HighQC, high.HighQC.Round()+1, paddedTx("a", 1, 200))
	p := w.memberOf(b.Proposer).sign(b)
	m := &consensus.Message{
		Sync:    &consensus.SyncInfo{HighQC: consensus.GenesisQC(late.store.Genesis())}, // older than its own proposal's
		Compact: p.Compact(func([]byte) bool { return false }),
	}
	task, err := late.engine.Verify(b.Proposer, m)
	must(t, err)
	must(t, task(late.engine))
	if got := late.engine.Status().HighQC; !got.Same(high.HighQC) {
		t.Errorf("its high QC is %v, the proposal carries %v", got, high.HighQC)
	}
	// The same once more does not ask again while the first is under way.
	task, err = late.engine.Verify(b.Proposer, m)
	must(t, err)
	must(t, task(late.engine))
	w.give = func(consensus.PayloadRequest, [][]byte) ([][]byte, error) { return nil, errors.New("none of this") }
	for len(w.queue) > 0 {
		next := w.queue[0]
		w.queue = w.queue[1:]
		must(t, next())
	}
	if len(late.asked) != 1 || late.rejected == 0 {
		t.Errorf("asked %d times, %d rejected", len(late.asked), late.rejected)
	}
}

// blockOn is a block of a round on what qc certifies, by whoever leads it or not.
func (w *world) blockOn(qc *consensus.QC, round consensus.Round, txs ...app.Tx) *consensus.Block {
	parent := qc.Block()
	var payload [][]byte
	for _, tx := range txs {
		payload = append(payload, tx)
	}
	return consensus.NewBlock(consensus.Header{
		Epoch: parent.Epoch, Round: round, Height: parent.Height + 1, Parent: parent.ID, ParentRound: parent.Round,
		ParentStateRoot: parent.StateRoot, Timestamp: parent.Timestamp + 1, Proposer: w.members[0].id,
	}, qc, payload)
}

func (w *world) memberOf(id consensus.ValidatorID) *member {
	for _, m := range w.members {
		if m.id == id {
			return m
		}
	}
	panic("no such member")
}

func (m *member) sign(b *consensus.Block) *consensus.Proposal {
	id := consensus.Identity{ID: m.id, Domain: m.w.genesis.Domain(), Signer: m.signer}
	return id.Proposal(&consensus.Proposal{Block: b}).Get()
}

func (m *member) note(_ time.Time, n core.Note) {
	if _, ok := n.(core.ProposalRejected); ok {
		m.rejected++
	}
}

// TestRebuildTimeGrows: while nothing commits, rounds grow and what a rebuild may take grows with them. With transactions
// that two of four never get nothing is certified.
func TestRebuildTimeGrows(t *testing.T) {
	w := newPaddedWorld(t, consensus.TwoChain)
	w.give = func(consensus.PayloadRequest, [][]byte) ([][]byte, error) { return nil, errUnreachable }
	w.add(paddedTx("a", 0, 200), w.members[:2]...)
	w.runFor(2 * time.Minute)
	last := w.members[3]
	if len(last.asked) < 5 {
		t.Fatalf("asked %d times in two minutes", len(last.asked))
	}
	base := core.DefaultTiming().Base
	if last.within > core.DefaultTiming().Cap/engine.RebuildShare || last.within < 2*base {
		t.Errorf("in rounds of %v a rebuild may take %v", core.DefaultTiming().Cap, last.within)
	}
	w.give = nil
	w.run("a commit once they are given", w.everyLiving("a", 1))
	w.checkAgreement()
}

// TestResentProposalIsNotFetchedAgain: a block that is in the tree has its transactions.
func TestResentProposalIsNotFetchedAgain(t *testing.T) {
	w := newPaddedWorld(t, consensus.TwoChain)
	last := w.members[3]
	w.add(paddedTx("a", 0, 200), w.members[:3]...)
	w.run("it has fetched", func() bool { return len(last.asked) == 1 && last.engine.Status().Tree > 0 })
	if w.proposal.Compact.ID() != last.asked[0].Block || w.proposal.Compact.TC != nil {
		t.Fatal("the latest proposal is another one")
	}
	task, err := last.engine.Verify(w.proposal.Compact.Proposer, &consensus.Message{Sync: w.proposal.Sync, Compact: w.proposal.Compact})
	must(t, err)
	must(t, task(last.engine))
	w.run("commit", w.everyLiving("a", 1))
	if len(last.asked) != 1 {
		t.Errorf("asked %d times", len(last.asked))
	}
}
