package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// fakeNode answers as its fields say.
type fakeNode struct {
	cairnv1.UnimplementedTransactionServiceServer
	cairnv1.UnimplementedAccountServiceServer
	cairnv1.UnimplementedBlockServiceServer
	cairnv1.UnimplementedNodeServiceServer

	submit func(*cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error)
	stream func(*cairnv1.StreamCommitsRequest, grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error
}

func (f *fakeNode) SubmitTransaction(_ context.Context, req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
	return f.submit(req)
}

func (f *fakeNode) StreamCommits(req *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	return f.stream(req, s)
}

func (f *fakeNode) GetChain(context.Context, *cairnv1.GetChainRequest) (*cairnv1.Chain, error) {
	return &cairnv1.Chain{ChainId: "chain-1", MinimumFee: 7}, nil
}

func (f *fakeNode) GetAccount(_ context.Context, req *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	return &cairnv1.Account{Address: req.GetAddress(), Sequence: 3, PendingSequence: 5}, nil
}

// servedNode is what serve starts.
type servedNode interface {
	cairnv1.TransactionServiceServer
	cairnv1.AccountServiceServer
	cairnv1.BlockServiceServer
	cairnv1.NodeServiceServer
}

// serve starts the node and returns a client of it.
func serve(t *testing.T, node servedNode) *Client {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	cairnv1.RegisterTransactionServiceServer(server, node)
	cairnv1.RegisterAccountServiceServer(server, node)
	cairnv1.RegisterBlockServiceServer(server, node)
	cairnv1.RegisterNodeServiceServer(server, node)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	c := New(conn)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func wallet(fill byte) *Wallet {
	return NewWallet(signature.NewPrivateKey([signature.SeedSize]byte{fill}), "cairn")
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:9090": "127.0.0.1:9090 plain", "localhost:1": "localhost:1 plain", "[::1]:1": "[::1]:1 plain",
		"http://node.example:9090": "node.example:9090 plain", "node.example:9090": "node.example:9090 TLS",
		"https://127.0.0.1:1/": "127.0.0.1:1 TLS", "10.0.0.1:1": "10.0.0.1:1 TLS", "https://x:1": "x:1 TLS",
		"": "", "x": "", "http://x": "", ":1": "", "ftp://x:1": "", "http://x:1/path": "", "x:": "",
		`"127.0.0.1:8080"`: "", `'127.0.0.1:8080'`: "", `"127.0.0.1":8080`: "", `http://"localhost:1"`: "", "`x:1`": "",
		"127.0.0.1:x": "", "x:0": "", "x:65536": "", "x:65535": "x:65535 TLS", "x:+1": "", "a..b:1": "", "-:1": "", "x.:1": "x.:1 TLS",
		"a_b-c.d:1": "a_b-c.d:1 TLS", "é.example:1": "",
	} {
		target, secure, err := parseEndpoint(text)
		got := target + map[bool]string{true: " TLS", false: " plain"}[secure]
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if c, err := Dial(text); (err == nil) != (want != "") {
			t.Errorf("%q: %v", text, err)
		} else if err == nil {
			_ = c.Close()
		}
	}
}

func TestEndpointError(t *testing.T) {
	for text, why := range map[string]string{
		`"127.0.0.1:8080"`: "quotation marks", `http://'x':1`: "quotation marks", "x": "no port", "x:99999": "port", "a b:1": "host name",
	} {
		var e *EndpointError
		if err := CheckEndpoint(text); !errors.As(err, &e) || e.Endpoint != text || !strings.Contains(e.Why, why) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", text, err, why)
		}
		if _, err := Dial(text); !errors.As(err, &e) {
			t.Errorf("%s: Dial says %v", text, err)
		}
	}
}

// What a wallet signs is what the ledger takes.
func TestSignedTransfersPassTheLedger(t *testing.T) {
	alice, bob := wallet(1), wallet(2)
	document := ledger.Document{AddressPrefix: "cairn", MinimumFee: 1,
		Accounts: []ledger.GenesisAccount{{Address: alice.Address(), Balance: 100}}}.Encode()
	l, err := ledger.New("chain-1", document, signature.NewEd25519())
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := l.Genesis(document)
	if err != nil {
		t.Fatal(err)
	}
	state := app.NewOverlay(nil)
	for _, change := range genesis.Changes {
		state.Set(change.Key, change.Value)
	}
	expires := time.UnixMilli(1_800_000_000_123)
	signed, err := alice.Sign(Transfer{ChainID: "chain-1", Fee: 2, Memo: "hi", ExpiresAt: expires,
		Outputs: []Output{{bob.Address(), 10}, {alice.Address(), 1}}})
	if err != nil {
		t.Fatal(err)
	}
	key, _ := hex.DecodeString(signed.Transaction.GetPublicKey())
	sig, _ := hex.DecodeString(signed.Transaction.GetSignature())
	info, err := app.Admit(l, state, slices.Concat(key, sig, signed.Transaction.GetBody()))
	if err != nil {
		t.Fatal(err)
	}
	if info.ID.String() != signed.ID || info.Sender != alice.Address() || info.Fee != 2 || info.Cost != 13 ||
		info.Expiry != consensus.Timestamp(expires.UnixMilli()) {
		t.Errorf("%+v", info)
	}
	for name, bad := range map[string]Transfer{
		"no outputs": {ChainID: "c"}, "no chain": {Outputs: []Output{{bob.Address(), 1}}},
		"address": {ChainID: "c", Outputs: []Output{{"bob", 1}}}, "amount": {ChainID: "c", Outputs: []Output{{bob.Address(), 0}}},
		"memo": {ChainID: "c", Memo: strings.Repeat("x", 257), Outputs: []Output{{bob.Address(), 1}}},
	} {
		if _, err := alice.Sign(bad); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestBuildTransferAsksForWhatIsOpen(t *testing.T) {
	c := serve(t, &fakeNode{})
	alice := wallet(1)
	outputs := []Output{{wallet(2).Address(), 1}}
	for name, test := range map[string]struct {
		draft Draft
		want  Transfer
	}{
		"all":     {Draft{AskFee: true, AskSequence: true}, Transfer{ChainID: "chain-1", Fee: 7, Sequence: 5}},
		"nothing": {Draft{Transfer: Transfer{ChainID: "x", Fee: 9, Sequence: 2}}, Transfer{ChainID: "x", Fee: 9, Sequence: 2}},
		"fee":     {Draft{Transfer: Transfer{ChainID: "x"}, AskFee: true}, Transfer{ChainID: "x", Fee: 7}},
	} {
		test.draft.Outputs, test.want.Outputs = outputs, outputs
		got, err := c.BuildTransfer(t.Context(), alice, test.draft)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := alice.Sign(test.want); got.ID != want.ID {
			t.Errorf("%s: another transaction", name)
		}
	}
}

// A wait beyond the node's own limit is kept by asking again; the transaction stays the same.
func TestSubmitWaits(t *testing.T) {
	var waits []time.Duration
	var ids []string
	node := &fakeNode{submit: func(req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
		waits = append(waits, req.GetWait().AsDuration())
		ids = append(ids, req.GetTransaction().GetSignature())
		state := cairnv1.TransactionState_PENDING
		if len(waits) == 3 {
			state = cairnv1.TransactionState_COMMITTED
		}
		return &cairnv1.SubmitTransactionResponse{Id: "x", State: state}, nil
	}}
	c := serve(t, node)
	signed, err := wallet(1).Sign(Transfer{ChainID: "c", Outputs: []Output{{wallet(2).Address(), 1}}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Submit(t.Context(), signed, 0)
	if err != nil || out.GetState() != cairnv1.TransactionState_PENDING || len(waits) != 1 || waits[0] != 0 {
		t.Fatalf("without a wait: %v, %v, %v", out, err, waits)
	}
	out, err = c.Submit(t.Context(), signed, time.Hour)
	if err != nil || out.GetState() != cairnv1.TransactionState_COMMITTED || len(waits) != 3 {
		t.Fatalf("with a wait: %v, %v, %v", out, err, waits)
	}
	if waits[1] > time.Hour || waits[2] >= waits[1] || len(slices.Compact(ids)) != 1 {
		t.Errorf("%v %v", waits, ids)
	}
}

func TestErrorsCarryTheReason(t *testing.T) {
	st, err := status.New(codes.ResourceExhausted, "full").WithDetails(
		&errdetails.ErrorInfo{Reason: "ACCOUNT_LIMIT", Domain: "cairn", Metadata: map[string]string{"limit": "100"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "bad"}}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, &fakeNode{submit: func(*cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
		return nil, st.Err()
	}})
	signed, _ := wallet(1).Sign(Transfer{ChainID: "c", Outputs: []Output{{wallet(2).Address(), 1}}})
	_, err = c.Submit(t.Context(), signed, time.Second)
	var e *Error
	if !errors.As(err, &e) || e.Code != codes.ResourceExhausted || ReasonOf(err) != cairnv1.ErrorReason_ACCOUNT_LIMIT ||
		e.Metadata["limit"] != "100" || e.RetryAfter != 3*time.Second || len(e.Fields) != 1 {
		t.Errorf("%+v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Account(ctx, "x"); !errors.Is(err, context.Canceled) || ReasonOf(err) != cairnv1.ErrorReason_UNSPECIFIED {
		t.Errorf("%v", err)
	}
}

// flakyChain is a chain whose streams end after a few messages, in every way that a stream can.
type flakyChain struct {
	mu      sync.Mutex
	opened  int
	tip     uint64
	perCall int
	repeat  bool // after a resume, the last block comes again
}

var endings = []error{
	nil, status.Error(codes.Unavailable, "gone"), status.Error(codes.Internal, "broken"),
	status.Error(codes.Canceled, "cancelled there"), status.Error(codes.ResourceExhausted, "too slow"),
}

func (f *flakyChain) stream(req *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	f.mu.Lock()
	f.opened++
	opened := f.opened
	f.mu.Unlock()
	height := req.GetFromHeight()
	if token := req.GetResumeToken(); token != "" {
		if _, err := fmt.Sscanf(token, "after-%d", &height); err != nil {
			return status.Error(codes.InvalidArgument, "bad token")
		}
		height++
		if f.repeat {
			height--
		}
	}
	for range f.perCall {
		if err := s.Send(&cairnv1.StreamCommitsResponse{ResumeToken: fmt.Sprintf("after-%d", height-1)}); err != nil {
			return err
		}
		if height > f.tip {
			break
		}
		m := &cairnv1.StreamCommitsResponse{Height: &height, Block: &cairnv1.Block{Height: height}, ResumeToken: fmt.Sprintf("after-%d", height)}
		if err := s.Send(m); err != nil {
			return err
		}
		height++
	}
	return endings[opened%len(endings)]
}

func TestStreamGivesEveryHeightOnce(t *testing.T) {
	for _, repeat := range []bool{false, true} {
		chain := &flakyChain{tip: 60, perCall: 7, repeat: repeat}
		c := serve(t, &fakeNode{stream: chain.stream})
		from := uint64(4)
		lost := 0
		f := follower{client: c, backoff: time.Millisecond, silence: time.Minute,
			opts: StreamOptions{FromHeight: &from, Disconnected: func(error, time.Duration) { lost++ }}}
		want := from
		f.run(t.Context(), func(commit Commit, err error) bool {
			if err != nil || commit.Height != want || commit.ResumeToken != fmt.Sprintf("after-%d", want) {
				t.Fatalf("got %+v, %v; want %d", commit, err, want)
			}
			f.backoff = time.Millisecond
			want++
			return commit.Height < chain.tip
		})
		if want != chain.tip+1 || lost < 7 {
			t.Errorf("ended at %d after %d losses", want, lost)
		}
	}
}

func TestStreamEnds(t *testing.T) {
	withReason := func(code codes.Code, reason string) error {
		st, _ := status.New(code, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "cairn"})
		return st.Err()
	}
	send := func(s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse], heights ...uint64) error {
		for _, h := range heights {
			if err := s.Send(&cairnv1.StreamCommitsResponse{Block: &cairnv1.Block{Height: h}, ResumeToken: "t"}); err != nil {
				return err
			}
		}
		return nil
	}
	for name, test := range map[string]struct {
		end     error
		heights []uint64
		want    func(error) bool
	}{
		"pruned":    {withReason(codes.OutOfRange, "HEIGHT_PRUNED"), nil, func(err error) bool { return ReasonOf(err) == cairnv1.ErrorReason_HEIGHT_PRUNED }},
		"ahead":     {withReason(codes.OutOfRange, "HEIGHT_NOT_REACHED"), nil, func(err error) bool { return ReasonOf(err) == cairnv1.ErrorReason_HEIGHT_NOT_REACHED }},
		"bad token": {withReason(codes.InvalidArgument, "INVALID_RESUME_TOKEN"), []uint64{1}, func(err error) bool { return ReasonOf(err) == cairnv1.ErrorReason_INVALID_RESUME_TOKEN }},
		"gap":       {nil, []uint64{1, 2, 4}, func(err error) bool { return errors.Is(err, ErrGap) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, &fakeNode{stream: func(_ *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
				if err := send(s, test.heights...); err != nil {
					return err
				}
				return test.end
			}})
			var last error
			n := 0
			for _, err := range c.StreamCommits(t.Context(), StreamOptions{}) {
				n++
				last = err
			}
			if !test.want(last) || n > len(test.heights)+1 {
				t.Errorf("%d items, then %v", n, last)
			}
		})
	}
	t.Run("lagging node", func(t *testing.T) {
		opened := 0
		c := serve(t, &fakeNode{stream: func(req *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
			opened++
			switch opened {
			case 1:
				return send(s, 1)
			case 2:
				return withReason(codes.OutOfRange, "HEIGHT_NOT_REACHED")
			}
			if req.GetFromHeight() != 2 {
				t.Errorf("resumed at %d", req.GetFromHeight())
			}
			return send(s, 2)
		}})
		for commit, err := range c.StreamCommits(t.Context(), StreamOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if commit.Height == 2 {
				break
			}
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := serve(t, &fakeNode{stream: func(_ *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
			if err := send(s, 1); err != nil {
				return err
			}
			<-s.Context().Done()
			return s.Context().Err()
		}})
		var last error
		for _, err := range c.StreamCommits(ctx, StreamOptions{}) {
			last = err
			cancel()
		}
		if !errors.Is(last, context.Canceled) {
			t.Error(last)
		}
	})
	t.Run("silent", func(t *testing.T) {
		c := serve(t, &fakeNode{stream: func(_ *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
			<-s.Context().Done()
			return s.Context().Err()
		}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lost := 0
		f := follower{client: c, backoff: time.Millisecond, silence: time.Millisecond,
			opts: StreamOptions{Disconnected: func(error, time.Duration) {
				if lost++; lost == 2 {
					cancel()
				}
			}}}
		f.run(ctx, func(Commit, error) bool { return true })
		if lost != 2 {
			t.Errorf("lost %d times", lost)
		}
	})
}
