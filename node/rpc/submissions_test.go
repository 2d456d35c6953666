package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/mempool"
)

func wires(txs ...ledger.Transaction) (out []*cairnv1.SignedTransaction) {
	for _, tx := range txs {
		out = append(out, toWire(tx))
	}
	return out
}

func (f *fixture) submitAll(txs ...*cairnv1.SignedTransaction) []*cairnv1.SubmissionOutcome {
	f.t.Helper()
	answer, err := f.transactions.SubmitTransactions(f.t.Context(), &cairnv1.SubmitTransactionsRequest{Transactions: txs})
	if err != nil {
		f.t.Fatal(err)
	}
	if len(answer.GetOutcomes()) != len(txs) {
		f.t.Fatalf("%d outcomes of %d", len(answer.GetOutcomes()), len(txs))
	}
	return answer.GetOutcomes()
}

// Each of several transactions ends as it would have ended alone.
func TestOutcomesAreThoseOfSingleSubmissions(t *testing.T) {
	limited := func(o *options) { o.pool = func(l *mempool.Limits) { l.PerAccount = 2 } }
	alone, together := start(t, limited), start(t, limited)
	done := alone.transfer(0, 0)
	for _, f := range []*fixture{alone, together} {
		f.mustSubmit(done)
		f.commitPending()
	}
	forged := alone.transfer(2, 0)
	forged.Signature[5] ^= 1
	first, second := alone.transfer(1, 0), alone.transfer(1, 1)
	for _, f := range []*fixture{alone, together} { // the account is full before
		f.mustSubmit(first)
		f.mustSubmit(second)
	}
	list := wires(
		done, first, first, second, alone.transfer(1, 0, func(b *ledger.Body) { b.Memo = "cheap rival" }), alone.transfer(1, 2), forged,
		alone.transfer(3, 0, func(b *ledger.Body) { b.Fee = 1 }), alone.transfer(3, 9), alone.transfer(0, 0, func(b *ledger.Body) { b.Memo = "late" }),
		alone.transfer(4, 0, func(b *ledger.Body) { b.ChainID = "elsewhere" }), alone.transfer(5, 0, func(b *ledger.Body) { b.Outputs[0].Amount = 2 * testBalance }),
		alone.transfer(6, 0),
	)
	list = append(list, &cairnv1.SignedTransaction{Body: []byte("abcdef"), PublicKey: list[0].GetPublicKey(), Signature: list[0].GetSignature()},
		&cairnv1.SignedTransaction{Body: []byte{1}, PublicKey: "x"}, &cairnv1.SignedTransaction{})
	outcomes := together.submitAll(list...)
	seen := make(map[string]bool)
	for i, tx := range list {
		answer, err := alone.transactions.SubmitTransaction(t.Context(), &cairnv1.SubmitTransactionRequest{Transaction: tx})
		got := outcomes[i]
		if err == nil {
			seen[answer.GetState().String()] = true
			if got.GetError() != nil || got.State == nil || got.GetState() != answer.GetState() || got.GetId() != answer.GetId() ||
				(got.GetReceipt() == nil) != (answer.GetReceipt() == nil) || got.GetReceipt().GetHeight() != answer.GetReceipt().GetHeight() {
				t.Errorf("%d: %v, alone %v", i, got, answer)
			}
			continue
		}
		want := detailsOf(t, err)
		seen[want.reason.String()] = true
		e := got.GetError()
		if got.State != nil || e.GetReason() != want.reason || e.GetMessage() != want.message || e.GetRetryAfter().AsDuration() != want.retry ||
			fmt.Sprint(e.GetMetadata()) != fmt.Sprint(want.metadata) {
			t.Errorf("%d: %v, alone %+v", i, got, want)
		}
		if id := ledger.ID(tx.GetBody()).String(); got.GetId() != id && want.fields == nil {
			t.Errorf("%d: id %q, want %s", i, got.GetId(), id)
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %v", seen)
	}
	if a, b := alone.pool.Stats().Transactions, together.pool.Stats().Transactions; a != b || a != 3 {
		t.Errorf("%d and %d are pending", a, b)
	}
	// Both nodes count the same refusals.
	status := must(alone.node.GetMempoolStatus(t.Context(), &cairnv1.GetMempoolStatusRequest{}))
	other := must(together.node.GetMempoolStatus(t.Context(), &cairnv1.GetMempoolStatusRequest{}))
	if len(status.GetRefusals()) < 8 || fmt.Sprint(status.GetRefusals()) != fmt.Sprint(other.GetRefusals()) {
		t.Errorf("%v\n%v", status.GetRefusals(), other.GetRefusals())
	}
}

func TestNumberOfSubmissions(t *testing.T) {
	f := start(t)
	for n, reason := range map[int]cairnv1.ErrorReason_Value{
		0: cairnv1.ErrorReason_MALFORMED_REQUEST, 1: 0, MaxSubmissionTransactions - 1: 0, MaxSubmissionTransactions: 0,
		MaxSubmissionTransactions + 1: cairnv1.ErrorReason_MALFORMED_REQUEST,
	} {
		list := make([]*cairnv1.SignedTransaction, n)
		for i := range list {
			list[i] = &cairnv1.SignedTransaction{}
		}
		answer, err := f.transactions.SubmitTransactions(t.Context(), &cairnv1.SubmitTransactionsRequest{Transactions: list})
		stream := must(f.transactions.StreamSubmissions(t.Context()))
		if err := stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: list}); err != nil {
			t.Fatal(err)
		}
		streamed, streamErr := stream.Recv()
		if reason != 0 {
			if d := wantReason(t, err, reason); len(d.fields) != 1 || d.fields[0] != "transactions" {
				t.Errorf("%d: %+v", n, d)
			}
			wantReason(t, streamErr, reason)
			continue
		}
		if err != nil || len(answer.GetOutcomes()) != n || streamErr != nil || len(streamed.GetOutcomes()) != n {
			t.Errorf("%d: %v, %v", n, err, streamErr)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("%d: %v", n, err)
		}
	}
	bad := toWire(f.transfer(0, 0))
	bad.ProtoReflect().SetUnknown(protoreflect.RawFields{0x78, 1})
	_, err := f.transactions.SubmitTransactions(t.Context(), &cairnv1.SubmitTransactionsRequest{
		Transactions: []*cairnv1.SignedTransaction{toWire(f.transfer(0, 0)), bad},
	})
	if d := wantReason(t, err, cairnv1.ErrorReason_UNKNOWN_FIELD); len(d.fields) != 1 || d.fields[0] != "transactions[1]" {
		t.Errorf("%+v", d)
	}
}

// Every transaction counts; those beyond the rate learn when there is room for them, one after the other.
func TestRateOfManySubmissions(t *testing.T) {
	now := time.Unix(1000, 0)
	f := start(t, configured(func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Limits = Limits{SubmitRate: 2, SubmitBurst: 3}
	}))
	list := wires(f.transfer(0, 0), f.transfer(0, 1), f.transfer(0, 2), f.transfer(0, 3), f.transfer(0, 4))
	for i, o := range f.submitAll(list...) {
		want := []time.Duration{0, 0, 0, 500 * time.Millisecond, time.Second}[i]
		if (o.GetError() != nil) != (want > 0) || o.GetError().GetRetryAfter().AsDuration() != want {
			t.Errorf("%d: %v", i, o)
		}
		if want > 0 && o.GetError().GetReason() != cairnv1.ErrorReason_RATE_LIMITED {
			t.Errorf("%d: %v", i, o)
		}
	}
	now = now.Add(time.Second)
	for i, o := range f.submitAll(list[3:]...) {
		if o.GetError() != nil {
			t.Errorf("%d: %v", i, o)
		}
	}
	wantReason(t, second(f.submit(t.Context(), f.transfer(1, 0), 0)), cairnv1.ErrorReason_RATE_LIMITED)
}

// R02: a bad signature counts for forgedCost submissions, by either call; nobody else pays for it.
func TestForgedOnesCostMore(t *testing.T) {
	now := time.Unix(1000, 0)
	f := start(t, configured(func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Limits = Limits{SubmitRate: 1, SubmitBurst: 2 * forgedCost}
	}))
	forged := func(sequence uint64) ledger.Transaction {
		tx := f.transfer(0, sequence)
		tx.Signature[40] ^= 1
		return tx
	}
	wantReason(t, second(f.submit(t.Context(), forged(0), 0)), cairnv1.ErrorReason_BAD_SIGNATURE)
	for i, o := range f.submitAll(wires(forged(1), f.transfer(0, 0))...) {
		if want := []cairnv1.ErrorReason_Value{cairnv1.ErrorReason_BAD_SIGNATURE, 0}[i]; o.GetError().GetReason() != want {
			t.Errorf("%d: %v", i, o)
		}
	}
	// 2 of them and a good one: less than nothing is left.
	d := wantReason(t, second(f.submit(t.Context(), f.transfer(0, 1), 0)), cairnv1.ErrorReason_RATE_LIMITED)
	if d.retry != 2*time.Second {
		t.Errorf("RetryInfo %v", d.retry)
	}
	elsewhere := metadata.AppendToOutgoingContext(t.Context(), forwardedFor, "192.0.2.9")
	if _, err := f.submit(elsewhere, f.transfer(0, 1), 0); err != nil {
		t.Error("another client:", err)
	}
	now = now.Add(d.retry)
	if _, err := f.submit(t.Context(), f.transfer(0, 2), 0); err != nil {
		t.Error("after the rest:", err)
	}
	// However many come at once, the debt is bounded by a burst.
	b := newBuckets(1, 5, func() time.Time { return now })
	b.charge("a", 1000)
	if retry, ok := b.take("a"); ok || retry != 6*time.Second {
		t.Errorf("%v, %v", retry, ok)
	}
	if got, _ := b.takeSome("a", 3); got != 0 {
		t.Errorf("%d taken of a debt", got)
	}
	unlimited := newBuckets(-1, 0, time.Now)
	unlimited.charge("a", 1000)
	if _, ok := unlimited.take("a"); !ok {
		t.Error("without a limit nothing is owed")
	}
}

func second[T any](_ T, err error) error { return err }

// Outcomes come in order, all of them, in as few messages as the node likes; after the client's end the stream ends.
func TestStreamOfSubmissions(t *testing.T) {
	f := start(t, func(o *options) { o.pool = func(l *mempool.Limits) { l.PerAccount = 1000 } })
	stream := must(f.transactions.StreamSubmissions(t.Context()))
	const messages, each = 60, 7
	sent := make([]ledger.Transaction, 0, messages*each)
	for i := range messages * each {
		sent = append(sent, f.transfer(i%3, uint64(i/3)))
	}
	go func() {
		for i := 0; i < len(sent); i += each {
			if stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: wires(sent[i : i+each]...)}) != nil {
				return // Recv says why
			}
		}
		_ = stream.CloseSend()
	}()
	next := uint64(0)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || m.GetFirstIndex() != next {
			t.Fatalf("%v from %d, %d is due", err, m.GetFirstIndex(), next)
		}
		for _, o := range m.GetOutcomes() {
			if o.GetId() != sent[next].ID().String() || o.GetState() != pending {
				t.Fatalf("%d: %v", next, o)
			}
			next++
		}
	}
	if int(next) != len(sent) || f.pool.Stats().Ready != len(sent) {
		t.Errorf("%d of %d answered, %d ready", next, len(sent), f.pool.Stats().Ready)
	}
}

// At shutdown what was read is answered, with a state or SHUTTING_DOWN, then the stream ends with its reason.
func TestStreamOfSubmissionsAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		stream := must(f.transactions.StreamSubmissions(t.Context()))
		if err := stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: wires(f.transfer(0, 0))}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.GetOutcomes()[0].GetState() != pending {
			t.Fatal(m, err)
		}
		f.server.Shutdown()
		if _, err := stream.Recv(); err == nil {
			t.Error("an outcome of nothing")
		} else {
			wantReason(t, err, cairnv1.ErrorReason_SHUTTING_DOWN)
		}
		_, err := f.transactions.SubmitTransactions(t.Context(), &cairnv1.SubmitTransactionsRequest{Transactions: wires(f.transfer(0, 1))})
		wantReason(t, err, cairnv1.ErrorReason_SHUTTING_DOWN)
		if again, err := f.transactions.StreamSubmissions(t.Context()); err == nil {
			_, err = again.Recv()
			wantReason(t, err, cairnv1.ErrorReason_SHUTTING_DOWN)
		}
		synctest.Wait()
		if f.server.posting.used.Load() != 0 {
			t.Error("a stream is still counted")
		}
	})
}

// What arrived before the node stopped and was not offered yet is told so.
func TestSubmissionsThatCameTooLate(t *testing.T) {
	f := start(t)
	p := &poster{guard: newGuard[cairnv1.StreamSubmissionsResponse](f.server, nil)}
	f.server.Shutdown()
	outcomes, err := p.outcomes(t.Context(), wires(f.transfer(0, 0), f.transfer(0, 1)))
	if err != nil || len(outcomes) != 2 || outcomes[1].GetError().GetReason() != cairnv1.ErrorReason_SHUTTING_DOWN || f.pool.Stats().Transactions != 0 {
		t.Errorf("%v, %v", outcomes, err)
	}
}

// A client that does not read its outcomes is ended, and the node holds little for it meanwhile.
func TestSubmitterThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 16)
		f := start(t, func(o *options) { o.listener = l })
		conn := f.dial(l, grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16), grpc.WithStaticStreamWindowSize(1<<16))
		stream := must(cairnv1.NewTransactionServiceClient(conn).StreamSubmissions(t.Context()))
		list := make([]*cairnv1.SignedTransaction, MaxSubmissionTransactions)
		for i := range list {
			list[i] = &cairnv1.SignedTransaction{Body: []byte{1}} // an answer longer than the question
		}
		sent := make(chan int, 1)
		go func() {
			n := 0
			for ; n < 1_000_000; n++ {
				if stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: list}) != nil {
					break
				}
			}
			sent <- n
		}()
		pass(DefaultSendTimeout + time.Second)
		for {
			if _, err := stream.Recv(); err != nil {
				wantReason(t, err, cairnv1.ErrorReason_STREAM_TOO_SLOW)
				break
			}
		}
		if n := <-sent; n == 0 || n > 5000 {
			t.Errorf("%d messages were taken of a client that does not read", n)
		}
	})
}

// The inbox reads on only while little is unanswered.
func TestInboxIsBounded(t *testing.T) {
	message := &cairnv1.StreamSubmissionsRequest{Transactions: []*cairnv1.SignedTransaction{{Body: make([]byte, 60_000)}}}
	for most := 0; most <= maxUnanswered; most += proto.Size(message) {
		if most+proto.Size(message) < maxUnanswered {
			continue
		}
		b, received := newInbox(), 0
		for room := true; room; received++ {
			room = b.put(message, nil)
		}
		if want := maxUnanswered/proto.Size(message) + 1; received != want || b.hasRoom() {
			t.Errorf("%d messages are held, want %d", received, want)
		}
		if txs, err := b.take(t.Context()); err != nil || len(txs) != received || !b.hasRoom() || b.bytes != 0 {
			t.Errorf("%d taken of %d, %v", len(txs), received, err)
		}
		b.put(nil, io.EOF)
		if txs, err := b.take(t.Context()); !errors.Is(err, io.EOF) || txs != nil {
			t.Errorf("%v, %v", txs, err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newInbox().take(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSubmissionStreamLimit(t *testing.T) {
	f := start(t)
	f.server.posting.used.Store(maxSubmissionStreams - 1)
	last := must(f.transactions.StreamSubmissions(t.Context()))
	if _, err := last.Header(); err != nil {
		t.Fatal(err)
	}
	over := must(f.transactions.StreamSubmissions(t.Context()))
	_, err := over.Recv()
	if d := wantReason(t, err, cairnv1.ErrorReason_STREAM_LIMIT); d.metadata["limit"] != fmt.Sprint(maxSubmissionStreams) {
		t.Errorf("%+v", d)
	}
}

// BenchmarkSubmitTransactions is what a submission costs beside the pool: every transaction is held already.
func BenchmarkSubmitTransactions(b *testing.B) {
	f := build(b, defaults())
	var list []*cairnv1.SignedTransaction
	for n := range testWallets {
		for i := range 60 {
			list = append(list, toWire(f.transfer(n, uint64(i), func(body *ledger.Body) { body.Memo = fmt.Sprintf("%060d", i) })))
		}
	}
	raw := must(proto.Marshal(&cairnv1.StreamSubmissionsRequest{Transactions: list}))
	if _, err := f.server.offerAll(b.Context(), "client", list); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		var m cairnv1.StreamSubmissionsRequest
		if err := proto.Unmarshal(raw, &m); err != nil {
			b.Fatal(err)
		}
		if err := f.server.check(&m); err != nil {
			b.Fatal(err)
		}
		outcomes, err := f.server.offerAll(b.Context(), "client", m.GetTransactions())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := proto.Marshal(&cairnv1.StreamSubmissionsResponse{Outcomes: outcomes}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/tx")
}
