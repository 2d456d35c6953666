package rpc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
)

// listening is the server of a listener, and the node that it hands on to.
type listening struct {
	*fixture
	up    *fixture
	calls atomic.Int64
	state atomic.Pointer[follow.Status]

	mu   sync.Mutex
	down bool                // nobody answers
	lie  func(proto.Message) // changes what the upstream answered; nil: it is honest
	path []string            // who handed the last call on
}

// listen makes a listener of an upstream of the same chain. The test commits to both.
func listen(t *testing.T) *listening {
	t.Helper()
	l := &listening{up: start(t)}
	l.state.Store(&follow.Status{Upstream: "upstream:9090"})
	l.fixture = start(t, configured(func(c *Config) {
		c.Status, c.Peers, c.Faucet, c.Self = nil, nil, nil, consensus.ValidatorID{1}
		c.Upstream = &Upstream{Status: func() follow.Status { return *l.state.Load() }, Call: l.call}
	}))
	return l
}

func (l *listening) call(ctx context.Context, patience time.Duration, call func(context.Context, grpc.ClientConnInterface) error) error {
	l.calls.Add(1)
	l.mu.Lock()
	down := l.down
	l.mu.Unlock()
	if down {
		return errors.Join(follow.ErrUnreachable, errors.New("connection refused"))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx, l)
}

// Invoke implements grpc.ClientConnInterface.
func (l *listening) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	err := l.up.conn.Invoke(ctx, method, in, out, opts...)
	sent, _ := metadata.FromOutgoingContext(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.path = sent.Get(handedOnBy)
	if err == nil && l.lie != nil {
		l.lie(out.(proto.Message))
	}
	return err
}

// NewStream implements grpc.ClientConnInterface.
func (l *listening) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no stream is handed on")
}

func (l *listening) set(down bool, lie func(proto.Message)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.lie = down, lie
}

// Refusals are the upstream's, to the last detail.
func TestForwardedRefusalsAreUnchanged(t *testing.T) {
	l := listen(t)
	for name, tx := range map[string]ledger.Transaction{
		"too dear":     l.transfer(0, 0, func(b *ledger.Body) { b.Outputs[0].Amount = 1 << 60 }),
		"no fee":       l.transfer(0, 0, func(b *ledger.Body) { b.Fee = 0 }),
		"far sequence": l.transfer(0, 1<<40),
		"expired":      l.transfer(0, 0, func(b *ledger.Body) { b.ExpiresAt = 1 }),
		"signature": func() ledger.Transaction {
			tx := l.transfer(0, 0)
			tx.Signature[7] ^= 1
			return tx
		}(),
	} {
		_, theirs := l.up.submit(t.Context(), tx, 0)
		_, ours := l.submit(t.Context(), tx, 0)
		a, b := status.Convert(ours).Proto(), status.Convert(theirs).Proto()
		if theirs == nil || !proto.Equal(a, b) {
			t.Errorf("%s: %v here, %v there", name, a, b)
		}
	}
	if counts := must(l.node.GetMempoolStatus(t.Context(), &cairnv1.GetMempoolStatusRequest{})).GetRefusals(); len(counts) < 4 {
		t.Errorf("refusals %v", counts)
	}
}

// TestForgedOnesStayHere: a listener hands on no signature that does not hold. An upstream would charge it for them, and one
// client could have all others of this listener refused.
func TestForgedOnesStayHere(t *testing.T) {
	l := listen(t)
	forged := l.transfer(0, 0)
	forged.Signature[7] ^= 1
	wantReason(t, second(l.submit(t.Context(), forged, 0)), cairnv1.ErrorReason_BAD_SIGNATURE)
	out := l.submitAll(wires(forged)...)
	if got := out[0].GetError().GetReason(); got != cairnv1.ErrorReason_BAD_SIGNATURE || out[0].GetId() != forged.ID().String() {
		t.Errorf("alone: %v", out)
	}
	if n := l.calls.Load(); n != 0 {
		t.Errorf("%d calls were handed on", n)
	}
	poor := l.transfer(0, 1<<20, func(b *ledger.Body) { b.Outputs[0].Amount = 1 << 60 })
	poor.Signature[7] ^= 1 // our state has more against it, and an upstream's may not
	wantReason(t, second(l.submit(t.Context(), poor, 0)), cairnv1.ErrorReason_BAD_SIGNATURE)
	out = l.submitAll(wires(forged, l.transfer(0, 0))...)
	if out[0].GetError().GetReason() != cairnv1.ErrorReason_BAD_SIGNATURE || out[1].GetError() != nil || l.calls.Load() != 1 {
		t.Errorf("beside a good one: %v, after %d calls", out, l.calls.Load())
	}
}

// A commit is told when our own store has it, whatever the upstream says.
func TestForwardedCommitIsOurs(t *testing.T) {
	l := listen(t)
	tx := l.transfer(0, 0)
	if out := must(l.submit(t.Context(), tx, 0)); out.GetState() != cairnv1.TransactionState_PENDING || out.GetId() != tx.ID().String() {
		t.Fatalf("%v", out)
	}
	if status := must(l.node.GetMempoolStatus(t.Context(), &cairnv1.GetMempoolStatusRequest{})); status.GetTransactions() != 0 {
		t.Errorf("it holds %v", status)
	}
	l.up.commitPending()
	out := must(l.submit(t.Context(), tx, 0))
	if out.GetState() != cairnv1.TransactionState_PENDING || out.GetReceipt() != nil {
		t.Errorf("before we have it: %v", out)
	}
	if got := l.get(tx.ID().String()); got.GetState() != cairnv1.TransactionState_PENDING || got.GetReceipt() != nil || got.Height != nil {
		t.Errorf("before we have it: %v", got)
	}
	answered := make(chan *cairnv1.SubmitTransactionResponse, 1)
	go func() { answered <- must(l.submit(context.Background(), tx, 20*time.Second)) }()
	l.commit(app.Tx(tx.Encode()))
	if out := <-answered; out.GetState() != cairnv1.TransactionState_COMMITTED || out.GetReceipt().GetHeight() != 1 {
		t.Errorf("when we have it: %v", out)
	}
	// One that says that everything is committed, or in no state at all, is not believed.
	for _, state := range []cairnv1.TransactionState_Value{cairnv1.TransactionState_COMMITTED, cairnv1.TransactionState_UNSPECIFIED, 99} {
		l.set(false, func(m proto.Message) {
			switch m := m.(type) {
			case *cairnv1.SubmitTransactionResponse:
				m.State, m.Receipt, m.Id = state, &cairnv1.Receipt{Height: 7}, "lie"
			case *cairnv1.SubmitTransactionsResponse:
				m.Outcomes[0].State, m.Outcomes[0].Receipt, m.Outcomes[0].Id = state.Enum(), &cairnv1.Receipt{Height: 7}, "lie"
			}
		})
		next := l.transfer(1, 0)
		if out := must(l.submit(t.Context(), next, 0)); out.GetState() != cairnv1.TransactionState_PENDING || out.GetReceipt() != nil || out.GetId() != next.ID().String() {
			t.Errorf("a lie: %v", out)
		}
		outcome := l.submitAll(toWire(next))[0]
		if outcome.GetState() != cairnv1.TransactionState_PENDING || outcome.GetReceipt() != nil || outcome.GetId() != next.ID().String() {
			t.Errorf("a lie: %v", outcome)
		}
	}
}

// A call that has been here, or at too many listeners, is handed on no more: of whatever kind it is.
func TestHandedOnInARing(t *testing.T) {
	l := listen(t)
	self := consensus.ValidatorID{1}.String()
	others := []string{"a", "b", "c", "d", "e"}
	for name, c := range map[string]struct {
		path []string
		want []string // nil: it is refused
	}{
		"from a client":          {nil, []string{self}},
		"as often as may be":     {others[:maxHandedOn-1], append(slices.Clone(others[:maxHandedOn-1]), self)},
		"once more than may be":  {others[:maxHandedOn], nil},
		"far more than may be":   {slices.Repeat(others, 50), nil},
		"it has just been here":  {[]string{self}, nil},
		"it was here before":     {[]string{self, "a"}, nil},
		"another with a like id": {[]string{self[1:]}, []string{self[1:], self}},
	} {
		ctx := t.Context()
		for _, id := range c.path {
			ctx = metadata.AppendToOutgoingContext(ctx, handedOnBy, id)
		}
		before := l.calls.Load()
		_, err := l.submit(ctx, l.transfer(0, 0), 0)
		asked := l.calls.Load() - before
		if c.want == nil {
			wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
		} else if err != nil || !slices.Equal(l.path, c.want) {
			t.Errorf("%s: handed on by %v, %v", name, l.path, err)
		}
		if (asked == 1) != (c.want != nil) {
			t.Errorf("%s: %d calls", name, asked)
		}
		if c.want != nil {
			continue
		}
		_, err = l.transactions.GetTransaction(ctx, &cairnv1.GetTransactionRequest{Id: strings.Repeat("ab", 32)})
		wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
		_, err = l.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(5)})
		wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
		out := must(l.transactions.SubmitTransactions(ctx, &cairnv1.SubmitTransactionsRequest{Transactions: []*cairnv1.SignedTransaction{toWire(l.transfer(0, 0))}}))
		if reason := out.GetOutcomes()[0].GetError().GetReason(); reason != cairnv1.ErrorReason_NODE_UNREACHABLE {
			t.Errorf("%s: %v", name, out)
		}
		must(l.accounts.GetAccount(ctx, &cairnv1.GetAccountRequest{Address: addressOf(0)}))
		if asked := l.calls.Load() - before; asked != 0 {
			t.Errorf("%s: %d calls", name, asked)
		}
	}
}

// TestHandedOnTries: what a client brings is tried at every upstream, what another listener hands on at two.
func TestHandedOnTries(t *testing.T) {
	tried := 0
	l := start(t, configured(func(c *Config) {
		c.Status, c.Peers, c.Faucet, c.Self = nil, nil, nil, consensus.ValidatorID{1}
		c.Upstream = &Upstream{Status: func() follow.Status { return follow.Status{} }, Call: func(
			ctx context.Context, _ time.Duration, call func(context.Context, grpc.ClientConnInterface) error,
		) error {
			for range 7 { // upstreams that do not answer
				if errors.Is(call(ctx, silentConn{}), follow.ErrUnreachable) {
					break
				}
				tried++
			}
			return follow.ErrUnreachable
		}}
	}))
	for path, want := range map[string]int{"": 7, "another": maxHandedOnTries} {
		ctx := t.Context()
		if path != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, handedOnBy, path)
		}
		tried = 0
		_, err := l.submit(ctx, l.transfer(0, 0), 0)
		wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
		if tried != want {
			t.Errorf("handed on by %q: tried %d times, want %d", path, tried, want)
		}
	}
}

type silentConn struct{ grpc.ClientConnInterface }

func (silentConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return status.Error(codes.Unavailable, "no answer")
}

// Of many, each has the outcome that the upstream gave it; what cannot be read stays here.
func TestForwardedOutcomes(t *testing.T) {
	l := listen(t)
	broken := toWire(l.transfer(2, 0))
	broken.Signature = "xyz"
	list := []*cairnv1.SignedTransaction{
		toWire(l.transfer(0, 0)), broken, toWire(l.transfer(0, 1, func(b *ledger.Body) { b.Fee = 1 })), toWire(l.transfer(1, 0)),
	}
	ours := l.submitAll(list...)
	want := []cairnv1.ErrorReason_Value{0, cairnv1.ErrorReason_MALFORMED_TRANSACTION, cairnv1.ErrorReason_FEE_TOO_LOW, 0}
	for i, o := range ours {
		if o.GetError().GetReason() != want[i] || (want[i] == 0) != (o.GetState() == cairnv1.TransactionState_PENDING) {
			t.Errorf("number %d: %v", i, o)
		}
	}
	if n := l.up.pool.Stats().Transactions; n != 2 {
		t.Errorf("the upstream holds %d", n)
	}
	// As many as a request may have, with a stream's worth of large ones: in calls that a node takes.
	var large []*cairnv1.SignedTransaction
	for from := range 7 {
		for i := range uint64(60) {
			large = append(large, toWire(l.transfer(from, 2+i, func(b *ledger.Body) {
				for len(b.Outputs) < 64 {
					b.Outputs = append(b.Outputs, b.Outputs[0])
				}
			})))
		}
	}
	before := l.calls.Load()
	outcomes := newOutcomes(len(large))
	if err := l.server.forwardAll(t.Context(), large, outcomes); err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if o.GetId() == "" || o.GetError().GetReason() == cairnv1.ErrorReason_NODE_UNREACHABLE {
			t.Fatalf("number %d: %v", i, o)
		}
	}
	if calls := l.calls.Load() - before; calls != 2 { // of 500 at most, so it is for their size
		t.Errorf("%d calls", calls)
	}
	// One that gives too few outcomes answers for nothing.
	l.set(false, func(m proto.Message) { m.(*cairnv1.SubmitTransactionsResponse).Outcomes = nil })
	if o := l.submitAll(list[0])[0]; o.GetError().GetReason() != cairnv1.ErrorReason_NODE_UNREACHABLE {
		t.Errorf("%v", o)
	}
}

// Without an upstream nothing is dropped in silence, and what is committed is served.
func TestNoUpstreamAnswers(t *testing.T) {
	l := listen(t)
	tx := l.transfer(0, 0)
	l.commit(app.Tx(tx.Encode()))
	l.set(true, nil)
	next := l.transfer(0, 1)
	_, err := l.submit(t.Context(), next, 0)
	wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
	if o := l.submitAll(toWire(next))[0]; o.GetError().GetReason() != cairnv1.ErrorReason_NODE_UNREACHABLE || o.GetId() != next.ID().String() {
		t.Errorf("%v", o)
	}
	_, err = l.transactions.GetTransaction(t.Context(), &cairnv1.GetTransactionRequest{Id: next.ID().String()})
	wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
	stream := must(l.transactions.StreamTransaction(t.Context(), &cairnv1.StreamTransactionRequest{Id: next.ID().String()}))
	_, err = stream.Recv()
	wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
	_, err = l.faucet.RequestFunds(t.Context(), &cairnv1.RequestFundsRequest{Address: addressOf(5)})
	wantReason(t, err, cairnv1.ErrorReason_NODE_UNREACHABLE)
	if got := l.get(tx.ID().String()); got.GetState() != cairnv1.TransactionState_COMMITTED {
		t.Errorf("%v", got)
	}
	account := must(l.accounts.GetAccount(t.Context(), &cairnv1.GetAccountRequest{Address: addressOf(0)}))
	if account.GetSequence() != 1 || account.GetPendingSequence() != 1 {
		t.Errorf("%v", account)
	}
}

// What only the upstream's mempool knows is asked there, and checked as far as that can be.
func TestPendingUpstream(t *testing.T) {
	l := listen(t)
	tx, id := l.transfer(0, 0), ""
	id = tx.ID().String()
	_, err := l.transactions.GetTransaction(t.Context(), &cairnv1.GetTransactionRequest{Id: id})
	wantReason(t, err, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
	must(l.submit(t.Context(), tx, 0))
	got := l.get(id)
	if got.GetState() != cairnv1.TransactionState_PENDING || got.GetDecoded().GetSender() != addressOf(0) || got.ReadHeight == nil {
		t.Errorf("%v", got)
	}
	account := must(l.accounts.GetAccount(t.Context(), &cairnv1.GetAccountRequest{Address: addressOf(0)}))
	if account.GetSequence() != 0 || account.GetPendingSequence() != 1 {
		t.Errorf("%v", account)
	}
	l.set(false, func(m proto.Message) {
		if m, ok := m.(*cairnv1.Transaction); ok {
			m.Transaction, m.Id = toWire(l.transfer(4, 9)), "lie"
			m.State, m.Receipt, m.Height = cairnv1.TransactionState_COMMITTED, &cairnv1.Receipt{Height: 3}, proto.Uint64(3)
		}
	})
	if got = l.get(id); got.GetId() != id || got.Transaction != nil || got.Decoded != nil || got.Receipt != nil || got.Height != nil ||
		got.GetState() != cairnv1.TransactionState_PENDING {
		t.Errorf("a lie: %v", got)
	}
}

// The life of a transaction that an upstream holds is told to its end.
func TestLifeUpstream(t *testing.T) {
	l := listen(t)
	tx := l.transfer(0, 0)
	id := tx.ID().String()
	stream := must(l.transactions.StreamTransaction(t.Context(), &cairnv1.StreamTransactionRequest{Id: id, WaitUnknown: durationpb.New(20 * time.Second)}))
	must(l.submit(t.Context(), tx, 0))
	if m := must(stream.Recv()); m.GetState() != cairnv1.TransactionState_PENDING || m.GetSeenTime() == 0 {
		t.Errorf("%v", m)
	}
	l.commit(app.Tx(tx.Encode()))
	if m := must(stream.Recv()); m.GetState() != cairnv1.TransactionState_COMMITTED || m.GetReceipt().GetHeight() != 1 {
		t.Errorf("%v", m)
	}
	unknown := must(l.transactions.StreamTransaction(t.Context(), &cairnv1.StreamTransactionRequest{Id: strings.Repeat("ab", 32)}))
	_, err := unknown.Recv()
	wantReason(t, err, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
}

// A listener is ready while it follows somebody, has caught up, and has met its checkpoint.
func TestListenerCondition(t *testing.T) {
	l := listen(t)
	for _, c := range []struct {
		name   string
		state  follow.Status
		ready  bool
		synced bool
		words  string
	}{
		{"follows", follow.Status{Upstream: "a"}, true, true, ""},
		{"near", follow.Status{Upstream: "a", Target: 5}, true, true, ""},
		{"behind", follow.Status{Upstream: "a", Target: 6}, false, false, "catching up: at height 0 of 6"},
		{"alone", follow.Status{}, false, true, "no upstream"},
		{"below the checkpoint", follow.Status{Upstream: "a", Unchecked: 1}, false, true, "trusted checkpoint: at height 0 of 1"},
	} {
		l.state.Store(&c.state)
		s := must(l.node.GetStatus(t.Context(), &cairnv1.GetStatusRequest{}))
		if s.GetReady() != c.ready || !strings.Contains(strings.Join(s.GetReasons(), "; "), c.words) || s.GetRole() != cairnv1.NodeRole_LISTENER {
			t.Errorf("%s: %v", c.name, s)
		}
		if sync := must(l.node.GetSyncStatus(t.Context(), &cairnv1.GetSyncStatusRequest{})); sync.GetSynced() != c.synced || len(sync.GetPeers()) != 0 {
			t.Errorf("%s: %v", c.name, sync)
		}
	}
	// Whom it follows, and since when.
	since := time.UnixMilli(1_767_225_605_250)
	l.state.Store(&follow.Status{Upstream: "a:9090", Since: since})
	sync := must(l.node.GetSyncStatus(t.Context(), &cairnv1.GetSyncStatusRequest{}))
	if u := sync.GetUpstream(); u.GetAddress() != "a:9090" || u.GetSinceTime() != since.UnixMilli() {
		t.Errorf("it follows %v", u)
	}
	l.state.Store(&follow.Status{Since: since})
	if sync := must(l.node.GetSyncStatus(t.Context(), &cairnv1.GetSyncStatusRequest{})); sync.Upstream != nil {
		t.Errorf("it follows %v", sync)
	}
	// The target is that of a certificate.
	l.up.commit()
	qc := l.up.commit().QC
	l.state.Store(&follow.Status{Upstream: "a", HighQC: qc, Target: 1})
	if sync := must(l.node.GetSyncStatus(t.Context(), &cairnv1.GetSyncStatusRequest{})); sync.GetTargetHeight() != uint64(qc.Block().Height) {
		t.Errorf("%v", sync)
	}
	if got := must(l.blocks.GetQuorumCertificate(t.Context(), &cairnv1.GetQuorumCertificateRequest{})); got.GetRound() != uint64(qc.Round()) {
		t.Errorf("%v", got)
	}
}

// The bytes of a commit are those of the store, and a stream that asks for them gets nothing else.
func TestCanonicalCommits(t *testing.T) {
	f := start(t)
	record := f.commit(app.Tx(f.transfer(0, 0).Encode()))
	zero := uint64(0)
	stream := must(f.blocks.StreamCommits(t.Context(), &cairnv1.StreamCommitsRequest{FromHeight: &zero, Canonical: true}))
	genesis := must(stream.Recv())
	if c := genesis.GetCanonical(); genesis.Height == nil || genesis.GetHeight() != 0 || len(c.GetBlock()) != 0 || len(c.GetProof()) == 0 {
		t.Errorf("%v", genesis)
	}
	m := must(stream.Recv())
	block, err := consensus.DecodeBlock(m.GetCanonical().GetBlock())
	if err != nil || block.ID() != record.Info.ID || m.Block != nil || m.GetHeight() != 1 {
		t.Fatalf("%v, %v", m, err)
	}
	certificate, err := consensus.DecodeQC(m.GetCanonical().GetCertificate())
	if err != nil || !certificate.Same(record.QC) {
		t.Errorf("%v, %v", certificate, err)
	}
	proof, err := consensus.DecodeQC(m.GetCanonical().GetProof())
	if err != nil || !proof.Same(record.Proof) || proof.Commit() != record.Info {
		t.Errorf("%v, %v", proof, err)
	}
}
