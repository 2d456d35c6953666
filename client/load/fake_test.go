package load_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/client/load"
	"github.com/cairnchain/cairn/consensus/signature"
)

func testKey(fill byte) signature.PrivateKey {
	return signature.NewPrivateKey([signature.SeedSize]byte{fill})
}

// fakeNode is a chain of one transaction per block. Every account has a million base units.
type fakeNode struct {
	cairnv1.UnimplementedTransactionServiceServer
	cairnv1.UnimplementedAccountServiceServer
	cairnv1.UnimplementedBlockServiceServer
	cairnv1.UnimplementedNodeServiceServer

	// refuse says whether the nth submission, from 1, is refused.
	refuse func(n int) error
	// commit says what becomes of the nth one that was taken, from 1: how often it is committed.
	commit func(n int) int
	fate   cairnv1.TransactionState_Value // what is said of those that are not committed; 0: not found

	parks  bool                // a transaction ahead of its account's next waits for those before it
	parked map[string][][]byte // bodies, by sender

	shortStreams int // the first so many streams end after one block

	mu        sync.Mutex
	streams   int
	submitted int
	calls     int // of several transactions
	taken     int
	blocks    []*cairnv1.TransactionOutcome
	balances  map[string]int64 // beyond the million
	sequences map[string]uint64
	changed   chan struct{}
}

const fakeFunds = 1_000_000_000

func (f *fakeNode) SubmitTransactions(ctx context.Context, req *cairnv1.SubmitTransactionsRequest) (*cairnv1.SubmitTransactionsResponse, error) {
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
	out := &cairnv1.SubmitTransactionsResponse{}
	for _, tx := range req.GetTransactions() {
		outcome := &cairnv1.SubmissionOutcome{}
		answer, err := f.SubmitTransaction(ctx, &cairnv1.SubmitTransactionRequest{Transaction: tx})
		if err == nil {
			outcome.Id, outcome.State = answer.GetId(), answer.GetState().Enum()
		} else {
			var e *client.Error
			if errors.As(client.FromError(err), &e) && e.Reason == cairnv1.ErrorReason_UNSPECIFIED {
				return nil, err // the call is lost, with all that is in it
			}
			outcome.Error = &cairnv1.SubmissionError{Reason: e.Reason, RetryAfter: durationpb.New(e.RetryAfter)}
		}
		out.Outcomes = append(out.Outcomes, outcome)
	}
	return out, nil
}

func (f *fakeNode) StreamSubmissions(s grpc.BidiStreamingServer[cairnv1.StreamSubmissionsRequest, cairnv1.StreamSubmissionsResponse]) error {
	for first := uint64(0); ; {
		req, err := s.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		answer, err := f.SubmitTransactions(s.Context(), &cairnv1.SubmitTransactionsRequest{Transactions: req.GetTransactions()})
		if err != nil {
			return err
		}
		if err := s.Send(&cairnv1.StreamSubmissionsResponse{FirstIndex: first, Outcomes: answer.GetOutcomes()}); err != nil {
			return err
		}
		first += uint64(len(answer.GetOutcomes()))
	}
}

func (f *fakeNode) SubmitTransaction(_ context.Context, req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.submitted++
	if f.refuse != nil {
		if err := f.refuse(f.submitted); err != nil {
			return nil, err
		}
	}
	f.taken++
	var body cairnv1.TransactionBody
	if err := proto.Unmarshal(req.GetTransaction().GetBody(), &body); err != nil {
		return nil, err
	}
	id := ledger.ID(req.GetTransaction().GetBody()).String()
	times := f.commit(f.taken)
	if f.parks && body.GetSequence() != f.sequences[body.GetSender()] {
		f.parked[body.GetSender()] = append(f.parked[body.GetSender()], req.GetTransaction().GetBody())
		times = 0
	}
	for range times {
		f.commitOne(id, &body)
	}
	close(f.changed)
	f.changed = make(chan struct{})
	return &cairnv1.SubmitTransactionResponse{Id: id, State: cairnv1.TransactionState_PENDING}, nil
}

// commitOne commits a transaction, and those of its account that waited for it.
func (f *fakeNode) commitOne(id string, body *cairnv1.TransactionBody) {
	f.blocks = append(f.blocks, &cairnv1.TransactionOutcome{Id: id, FeeCharged: body.GetFee()})
	f.sequences[body.GetSender()] = body.GetSequence() + 1
	f.balances[body.GetSender()] -= int64(body.GetFee())
	for _, o := range body.GetTransfer().GetOutputs() {
		f.balances[body.GetSender()] -= int64(o.GetAmount())
		f.balances[o.GetTo()] += int64(o.GetAmount())
	}
	for _, raw := range f.parked[body.GetSender()] {
		var next cairnv1.TransactionBody
		if proto.Unmarshal(raw, &next) == nil && next.GetSequence() == f.sequences[body.GetSender()] {
			f.commitOne(ledger.ID(raw).String(), &next)
			return
		}
	}
}

func (f *fakeNode) GetTransaction(_ context.Context, req *cairnv1.GetTransactionRequest) (*cairnv1.Transaction, error) {
	if f.fate == cairnv1.TransactionState_UNSPECIFIED {
		return nil, refusal(codes.NotFound, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND, 0)
	}
	return &cairnv1.Transaction{Id: req.GetId(), State: f.fate}, nil
}

func (f *fakeNode) StreamCommits(req *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	f.mu.Lock()
	f.streams++
	short := f.streams <= f.shortStreams
	f.mu.Unlock()
	for next := req.GetFromHeight(); ; {
		f.mu.Lock()
		changed, blocks := f.changed, f.blocks
		f.mu.Unlock()
		for ; next <= uint64(len(blocks)); next++ {
			height := next
			if err := s.Send(&cairnv1.StreamCommitsResponse{Height: &height, ResumeToken: fmt.Sprint(height), Block: &cairnv1.Block{Height: height},
				Outcomes: &cairnv1.BlockOutcomes{Transactions: blocks[height-1 : height]},
			}); err != nil {
				return err
			}
			if short {
				return status.Error(codes.Unavailable, "gone")
			}
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

func (f *fakeNode) GetChain(context.Context, *cairnv1.GetChainRequest) (*cairnv1.Chain, error) {
	return &cairnv1.Chain{ChainId: "devnet-c0ffee", AddressPrefix: "cairn", MinimumFee: 1}, nil
}

func (f *fakeNode) GetStatus(context.Context, *cairnv1.GetStatusRequest) (*cairnv1.NodeStatus, error) {
	return &cairnv1.NodeStatus{}, nil
}

func (f *fakeNode) GetAccount(_ context.Context, req *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sequence := f.sequences[req.GetAddress()]
	return &cairnv1.Account{
		Address: req.GetAddress(), Balance: uint64(fakeFunds + f.balances[req.GetAddress()]), Sequence: sequence,
		PendingSequence: sequence,
	}, nil
}

func refusal(code codes.Code, reason cairnv1.ErrorReason_Value, retry time.Duration) error {
	st, err := status.New(code, "refused").WithDetails(&errdetails.ErrorInfo{Reason: reason.String(), Domain: "cairn"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	if err != nil {
		return err
	}
	return st.Err()
}

func once(int) int { return 1 }

// start serves the node and returns a client of it.
func (f *fakeNode) start(t *testing.T) *client.Client {
	t.Helper()
	f.parked = map[string][][]byte{}
	f.balances, f.sequences, f.changed = map[string]int64{}, map[string]uint64{}, make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	cairnv1.RegisterTransactionServiceServer(server, f)
	cairnv1.RegisterAccountServiceServer(server, f)
	cairnv1.RegisterBlockServiceServer(server, f)
	cairnv1.RegisterNodeServiceServer(server, f)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	c, err := client.Dial(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (f *fakeNode) run(t *testing.T, cfg load.Config) *load.Report {
	t.Helper()
	cfg.Clients, cfg.Accounts, cfg.Drain = []*client.Client{f.start(t)}, 4, 50*time.Millisecond
	report, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func open(count uint64) load.Config { return load.Config{Mode: load.Open, Rate: 10_000, Count: count} }

// A node that acknowledges and forgets is found out, in both loops.
func TestLost(t *testing.T) {
	never := func(n int) int { return 0 }
	notFifth := func(n int) int {
		if n == 20 {
			return 0
		}
		return 1
	}
	for name, c := range map[string]struct {
		node                  *fakeNode
		cfg                   load.Config
		want                  error
		lost, pending, missed uint64
	}{
		"never, open":   {&fakeNode{commit: never}, open(20), load.ErrLost, 20, 0, 20},
		"never, closed": {&fakeNode{commit: never}, load.Config{Mode: load.Closed, Window: 2, Count: 4}, load.ErrLost, 4, 0, 4},
		"the last":      {&fakeNode{commit: notFifth}, open(20), load.ErrLost, 1, 0, 1},
		"still pending": {&fakeNode{commit: notFifth, fate: cairnv1.TransactionState_PENDING}, open(20), load.ErrPending, 0, 1, 1},
		// A node that says what it dropped has not lost it.
		"dropped": {&fakeNode{commit: notFifth, fate: cairnv1.TransactionState_EXPIRED}, open(20), nil, 0, 0, 1},
		"none":    {&fakeNode{commit: once}, open(20), nil, 0, 0, 0},
	} {
		report := c.node.run(t, c.cfg)
		if err := report.Err(); !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if report.Lost != c.lost || report.StillPending != c.pending || report.Acknowledged-report.Committed != c.missed ||
			report.Acknowledged != c.cfg.Count {
			t.Errorf("%s: %+v", name, report)
		}
		if dropped := report.Dropped["EXPIRED"]; dropped != c.missed-c.lost-c.pending {
			t.Errorf("%s: dropped %v", name, report.Dropped)
		}
	}
}

// By every way to submit the report is the same; several transactions share a call.
func TestWays(t *testing.T) {
	for _, via := range []load.Via{load.GRPC, load.Batch, load.Stream} {
		for _, mode := range []load.Mode{load.Open, load.Closed} {
			node := &fakeNode{commit: once}
			cfg := load.Config{Via: via, Mode: mode, Count: 500, Rate: 100_000, Window: 100, Presign: 50}
			cfg.Clients, cfg.Accounts, cfg.Drain = []*client.Client{node.start(t)}, 4, time.Minute
			report, err := load.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := report.Err(); err != nil || report.Submitted != 500 || report.Acknowledged != 500 || report.Committed != 500 ||
				node.submitted != 500 || report.Unexpected != 0 || len(report.Rejected)+len(report.Unanswered)+len(report.Dropped) != 0 {
				t.Errorf("%s, %s: %v, %d submitted: %+v", via, mode, err, node.submitted, report)
			}
			if (node.calls > 0) != (via != load.GRPC) {
				t.Errorf("%s, %s: %d calls of several", via, mode, node.calls)
			}
		}
	}
}

// A stream or a call of several that is lost answers nothing of what was in it; all of it is submitted again.
func TestLostAnswersOfMany(t *testing.T) {
	for _, via := range []load.Via{load.Batch, load.Stream} {
		node := &fakeNode{commit: once, parks: true, refuse: func(n int) error {
			if n == 30 {
				return status.Error(codes.Unavailable, "gone")
			}
			return nil
		}}
		cfg := load.Config{Via: via, Mode: load.Open, Count: 300, Rate: 2000, Clients: []*client.Client{node.start(t)}, Accounts: 4, Drain: time.Minute}
		report, err := load.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		lost := report.Unanswered["Unavailable"]
		if err := report.Err(); err != nil || report.Submitted < 300 || report.Acknowledged != report.Submitted-lost || lost == 0 {
			t.Errorf("%s: %v: %+v", via, report.Err(), report)
		}
	}
}

// With Retry what is refused is submitted again beside what is due, and its latency runs on.
func TestRetry(t *testing.T) {
	for _, via := range []load.Via{load.GRPC, load.Batch, load.Stream} {
		node := &fakeNode{commit: once, parks: true, refuse: func(n int) error {
			if n <= 10 {
				return refusal(codes.ResourceExhausted, cairnv1.ErrorReason_MEMPOOL_FULL, 50*time.Millisecond)
			}
			return nil
		}}
		cfg := load.Config{Via: via, Mode: load.Open, Count: 100, Rate: 10_000, Retry: true}
		cfg.Clients, cfg.Accounts = []*client.Client{node.start(t)}, 4
		report, err := load.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Err(); err != nil || report.Rejected["MEMPOOL_FULL"] != 10 || report.Committed < 90 || report.Submitted != report.Committed+10 ||
			report.Latency.Max < 50 {
			t.Errorf("%s: %v: %+v", via, err, report)
		}
	}
}

// A transaction that is committed twice is found out.
func TestCommittedTwice(t *testing.T) {
	node := &fakeNode{commit: func(n int) int {
		if n == 7 {
			return 2
		}
		return 1
	}}
	report := node.run(t, open(20))
	if err := report.Err(); !errors.Is(err, load.ErrBooks) || report.Unexpected != 1 || report.Committed != 20 {
		t.Errorf("%v: %+v", err, report)
	}
}

// A stream that is lost goes on where it was: no commit is missed.
func TestStreamIsLost(t *testing.T) {
	node := &fakeNode{commit: once, shortStreams: 2}
	cfg := open(20)
	cfg.Clients, cfg.Accounts, cfg.Drain = []*client.Client{node.start(t)}, 4, time.Minute
	report, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil || report.Committed != 20 || node.streams != 3 {
		t.Errorf("%v, %d streams: %+v", err, node.streams, report)
	}
}

// Accounts that do not have what their commits say are found out.
func TestBooks(t *testing.T) {
	node := &fakeNode{}
	node.commit = func(n int) int {
		if n == 20 {
			for address := range node.balances {
				node.balances[address]++ // money from nowhere
			}
		}
		return 1
	}
	report := node.run(t, open(20))
	if err := report.Err(); !errors.Is(err, load.ErrBooks) || !strings.Contains(err.Error(), "balance") {
		t.Errorf("%v: %+v", err, report)
	}
}

// Refusals are counted by reason and not submitted again; a lost answer is looked up.
func TestRefused(t *testing.T) {
	node := &fakeNode{commit: once, refuse: func(n int) error {
		switch {
		case n <= 3:
			return refusal(codes.ResourceExhausted, cairnv1.ErrorReason_MEMPOOL_FULL, time.Millisecond)
		case n == 4:
			return refusal(codes.FailedPrecondition, cairnv1.ErrorReason_SEQUENCE_TOO_OLD, 0)
		case n == 5:
			return status.Error(codes.Unavailable, "gone")
		}
		return nil
	}}
	report := node.run(t, load.Config{Mode: load.Closed, Window: 3, Count: 30})
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Rejected["MEMPOOL_FULL"] != 3 || report.Rejected["SEQUENCE_TOO_OLD"] != 1 || len(report.Rejected) != 2 ||
		report.Unanswered["Unavailable"] != 1 || report.Submitted != 30 || report.Committed != 25 || node.submitted != 30 {
		t.Errorf("%d submitted: %+v", node.submitted, report)
	}
}

// What cannot be is said, with the field.
func TestConfig(t *testing.T) {
	c := (&fakeNode{commit: once}).start(t)
	good := load.Config{Clients: []*client.Client{c}, Mode: load.Closed, Window: 1, Accounts: 2, Count: 1}
	for want, change := range map[string]func(*load.Config){
		"":          func(*load.Config) {},
		"endpoints": func(c *load.Config) { c.Clients = nil },
		"URLs":      func(c *load.Config) { c.Via = load.REST },
		"mode":      func(c *load.Config) { c.Mode = "half-open" },
		"presign":   func(c *load.Config) { c.Presign = load.MaxPresign + 1 },
		"via":       func(c *load.Config) { c.Via = "pigeon" },
		"window: 0": func(c *load.Config) { c.Window = 0 },
		fmt.Sprintf("window: %d", load.MaxWindow+1): func(c *load.Config) { c.Window = load.MaxWindow + 1 },
		"calls: -1": func(c *load.Config) { c.Calls = -1 },
		fmt.Sprintf("calls: %d", load.MaxCalls+1): func(c *load.Config) { c.Calls = load.MaxCalls + 1 },
		"rate: 0":     func(c *load.Config) { c.Mode = load.Open },
		"rate: 1.0":   func(c *load.Config) { c.Mode, c.Rate = load.Open, load.MaxRate+0.5 },
		"duration":    func(c *load.Config) { c.Count = 0 },
		"warmup":      func(c *load.Config) { c.Warmup = -1 },
		"accounts: 1": func(c *load.Config) { c.Accounts = 1 },
		fmt.Sprintf("accounts: %d", load.MaxAccounts+1): func(c *load.Config) { c.Accounts = load.MaxAccounts + 1 },
		fmt.Sprintf("size: %d", load.MinSize-1):         func(c *load.Config) { c.Size = load.MinSize - 1 },
		fmt.Sprintf("size: %d", load.MaxSize+1):         func(c *load.Config) { c.Size = load.MaxSize + 1 },
	} {
		cfg := good
		change(&cfg)
		_, err := load.Run(t.Context(), cfg)
		if want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, load.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
