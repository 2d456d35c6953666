package gateway_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline bounds a wait that fails the test when it passes.
const deadline = 10 * time.Second

// chain is a small node that works: blocks can be committed, read and followed, transactions submitted and found.
type chain struct {
	cairnv1.UnimplementedTransactionServiceServer
	cairnv1.UnimplementedAccountServiceServer
	cairnv1.UnimplementedBlockServiceServer
	cairnv1.UnimplementedNodeServiceServer
	cairnv1.UnimplementedFaucetServiceServer

	mu        sync.Mutex
	blocks    []*cairnv1.Block
	committed chan struct{} // closed and replaced at each commit
	submitted map[string]*cairnv1.SignedTransaction
	ready     bool
	reasons   []string
	fail      error            // what SubmitTransaction answers, if anything
	end       map[uint64]error // how a stream ends before the block of a height
	forwarded []string         // x-forwarded-for of the last GetAccount
	lastWait  *durationpb.Duration
	streams   chan context.Context // each stream's, if anybody listens
	padding   int                  // bytes of memo in each streamed block
}

func newChain(heights int) *chain {
	c := &chain{
		committed: make(chan struct{}),
		submitted: make(map[string]*cairnv1.SignedTransaction),
		end:       make(map[uint64]error),
		ready:     true,
		streams:   make(chan context.Context, 16),
	}
	for range heights {
		c.commit()
	}
	return c
}

func blockID(height uint64) string {
	sum := sha256.Sum256([]byte(strconv.FormatUint(height, 10)))
	return hex.EncodeToString(sum[:])
}

// commit adds a block.
func (c *chain) commit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	height := uint64(len(c.blocks))
	c.blocks = append(c.blocks, &cairnv1.Block{Id: blockID(height), Height: height, Round: height, Epoch: 1})
	close(c.committed)
	c.committed = make(chan struct{})
}

func (c *chain) failSubmit(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

func refuse(code codes.Code, reason cairnv1.ErrorReason_Value, extra ...protoadapt.MessageV1) error {
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason.String(), Domain: "cairn"}}, extra...)
	st, err := status.New(code, "refused: "+reason.String()).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}

func (c *chain) at(height uint64) (*cairnv1.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if height >= uint64(len(c.blocks)) {
		return nil, refuse(codes.NotFound, cairnv1.ErrorReason_BLOCK_NOT_FOUND)
	}
	return c.blocks[height], nil
}

// selected is the height of a selector: an id, a height, or the newest.
func (c *chain) selected(id string, height *uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if height != nil {
		return *height
	}
	for _, b := range c.blocks {
		if b.GetId() == id {
			return b.GetHeight()
		}
	}
	if id != "" {
		return 1 << 63
	}
	return uint64(len(c.blocks)) - 1
}

func (c *chain) GetBlock(_ context.Context, req *cairnv1.GetBlockRequest) (*cairnv1.Block, error) {
	var height *uint64
	if s, ok := req.GetSelector().(*cairnv1.GetBlockRequest_Height); ok {
		height = &s.Height
	}
	return c.at(c.selected(req.GetId(), height))
}

func (c *chain) GetQuorumCertificate(_ context.Context, req *cairnv1.GetQuorumCertificateRequest) (*cairnv1.QuorumCertificate, error) {
	var height *uint64
	if s, ok := req.GetSelector().(*cairnv1.GetQuorumCertificateRequest_Height); ok {
		height = &s.Height
	}
	b, err := c.at(c.selected(req.GetId(), height))
	if err != nil {
		return nil, err
	}
	return &cairnv1.QuorumCertificate{Round: b.GetRound(), Block: &cairnv1.BlockInfo{Id: b.GetId(), Height: b.GetHeight()}}, nil
}

func (c *chain) ListBlocks(_ context.Context, req *cairnv1.ListBlocksRequest) (*cairnv1.ListBlocksResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	page := &cairnv1.ListBlocksResponse{Height: uint64(len(c.blocks)) - 1}
	for i := len(c.blocks) - 1; i >= 0 && len(page.GetBlocks()) < int(req.GetPageSize()); i-- {
		page.Blocks = append(page.Blocks, c.blocks[i])
		page.NextPageToken = strconv.Itoa(i)
	}
	return page, nil
}

func (c *chain) StreamCommits(req *cairnv1.StreamCommitsRequest, stream grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	next := req.GetFromHeight()
	if token := req.GetResumeToken(); token != "" {
		at, err := strconv.ParseUint(strings.TrimPrefix(token, "after-"), 10, 64)
		if err != nil {
			return refuse(codes.InvalidArgument, cairnv1.ErrorReason_INVALID_RESUME_TOKEN)
		}
		next = at + 1
	}
	c.mu.Lock()
	tip := uint64(len(c.blocks)) - 1
	c.mu.Unlock()
	if next > tip+1 {
		return refuse(codes.OutOfRange, cairnv1.ErrorReason_HEIGHT_NOT_REACHED)
	}
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	c.streams <- stream.Context()
	for {
		c.mu.Lock()
		end, tip, wake := c.end[next], uint64(len(c.blocks))-1, c.committed
		c.mu.Unlock()
		if end != nil {
			return end
		}
		if next > tip {
			if err := stream.Send(&cairnv1.StreamCommitsResponse{ResumeToken: fmt.Sprintf("after-%d", next-1)}); err != nil {
				return err
			}
			select {
			case <-wake:
				continue
			case <-stream.Context().Done():
				return status.FromContextError(stream.Context().Err()).Err()
			}
		}
		b, err := c.at(next)
		if err != nil {
			return err
		}
		if c.padding > 0 {
			b = proto.CloneOf(b)
			b.Transactions = []*cairnv1.Transaction{{Rejection: &cairnv1.Rejection{Message: strings.Repeat("x", c.padding)}}}
		}
		if err := stream.Send(&cairnv1.StreamCommitsResponse{
			Height: proto.Uint64(next), Block: b, ResumeToken: fmt.Sprintf("after-%d", next),
		}); err != nil {
			return err
		}
		next++
	}
}

func (c *chain) SubmitTransaction(_ context.Context, req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return nil, c.fail
	}
	c.lastWait = req.GetWait()
	sum := sha256.Sum256(req.GetTransaction().GetBody())
	id := hex.EncodeToString(sum[:])
	c.submitted[id] = req.GetTransaction()
	return &cairnv1.SubmitTransactionResponse{Id: id, State: cairnv1.TransactionState_PENDING}, nil
}

func (c *chain) GetTransaction(_ context.Context, req *cairnv1.GetTransactionRequest) (*cairnv1.Transaction, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tx, ok := c.submitted[req.GetId()]
	if !ok {
		return nil, refuse(codes.NotFound, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
	}
	body := &cairnv1.TransactionBody{}
	if err := proto.Unmarshal(tx.GetBody(), body); err != nil {
		return nil, refuse(codes.Internal, cairnv1.ErrorReason_INTERNAL)
	}
	return &cairnv1.Transaction{
		Id: req.GetId(), State: cairnv1.TransactionState_COMMITTED, Transaction: tx, Decoded: body,
		Receipt: &cairnv1.Receipt{Height: 1, BlockId: blockID(1)}, Height: proto.Uint64(1), Index: proto.Uint32(0),
	}, nil
}

func (c *chain) GetAccount(ctx context.Context, req *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forwarded = md.Get("x-forwarded-for")
	height := uint64(len(c.blocks)) - 1
	if req.GetMinHeight() > height {
		return nil, refuse(codes.Unavailable, cairnv1.ErrorReason_HEIGHT_NOT_REACHED)
	}
	return &cairnv1.Account{Address: req.GetAddress(), Balance: 1<<64 - 1, Height: height}, nil
}

func (c *chain) GetChain(context.Context, *cairnv1.GetChainRequest) (*cairnv1.Chain, error) {
	return &cairnv1.Chain{ChainId: "test", CommitRule: "two_chain", Limits: &cairnv1.Limits{MaxWait: durationpb.New(time.Minute)}}, nil
}

func (c *chain) GetStatus(context.Context, *cairnv1.GetStatusRequest) (*cairnv1.NodeStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &cairnv1.NodeStatus{Role: cairnv1.NodeRole_VALIDATOR, Ready: c.ready, Reasons: c.reasons}, nil
}

func (c *chain) GetSyncStatus(context.Context, *cairnv1.GetSyncStatusRequest) (*cairnv1.SyncStatus, error) {
	return &cairnv1.SyncStatus{Synced: true}, nil
}

func (c *chain) GetValidatorSet(_ context.Context, req *cairnv1.GetValidatorSetRequest) (*cairnv1.ValidatorSet, error) {
	return &cairnv1.ValidatorSet{Epoch: req.GetEpoch()}, nil
}

func (c *chain) ListEvidence(_ context.Context, req *cairnv1.ListEvidenceRequest) (*cairnv1.ListEvidenceResponse, error) {
	return &cairnv1.ListEvidenceResponse{
		Evidence: []*cairnv1.Evidence{{
			Id: blockID(1), Kind: cairnv1.EvidenceKind_VOTE, Round: uint64(req.GetPageSize()), SeenTime: 5,
			First: &cairnv1.SignedContent{Content: []byte{0xfb, 0xff}},
		}},
		NextPageToken: req.GetPageToken() + "+",
	}, nil
}

func (c *chain) RequestFunds(context.Context, *cairnv1.RequestFundsRequest) (*cairnv1.RequestFundsResponse, error) {
	return nil, refuse(codes.FailedPrecondition, cairnv1.ErrorReason_FAUCET_DISABLED)
}

// serve runs the chain's gRPC server, a gateway before it and an HTTP server around that.
func serve(t *testing.T, c *chain, configure ...func(*gateway.Config)) *httptest.Server {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	cairnv1.RegisterTransactionServiceServer(server, c)
	cairnv1.RegisterAccountServiceServer(server, c)
	cairnv1.RegisterBlockServiceServer(server, c)
	cairnv1.RegisterNodeServiceServer(server, c)
	cairnv1.RegisterFaucetServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///node",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return serveHTTP(t, conn, configure...)
}

func serveHTTP(t *testing.T, conn *grpc.ClientConn, configure ...func(*gateway.Config)) *httptest.Server {
	t.Helper()
	cfg := gateway.Config{Conn: conn}
	for _, f := range configure {
		f(&cfg)
	}
	handler, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(nil)
	front.Config = gateway.Server(handler)
	front.Start()
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front
}

// answer is an HTTP answer, read.
type answer struct {
	code   int
	header http.Header
	body   string
}

// request sends "METHOD /path" with a body and "Name: value" headers.
func request(t *testing.T, s *httptest.Server, line, body string, headers ...string) answer {
	t.Helper()
	method, path, _ := strings.Cut(line, " ")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(content)}
}

// json reads the answer as an object.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		t.Fatalf("no JSON object: %v: %s", err, a.body)
	}
	return object
}

// reader reads lines of a stream.
type reader struct {
	t    *testing.T
	resp *http.Response
	*bufio.Scanner
}

func open(t *testing.T, s *httptest.Server, path string, headers ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &reader{t, resp, bufio.NewScanner(resp.Body)}
}

func (r *reader) line() string {
	r.t.Helper()
	if !r.Scan() {
		r.t.Fatalf("the stream ended: %v", r.Err())
	}
	return r.Text()
}
