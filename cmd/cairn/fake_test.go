package main

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node"
)

const fakeChain = "devnet-c0ffee"

// fakeNode is a node with a small fixed chain. It checks signatures for real; the memo of a transaction says what
// becomes of it.
type fakeNode struct {
	cairnv1.UnimplementedTransactionServiceServer
	cairnv1.UnimplementedAccountServiceServer
	cairnv1.UnimplementedBlockServiceServer
	cairnv1.UnimplementedNodeServiceServer

	ledger *ledger.Ledger
	state  app.State

	mu      sync.Mutex
	stalled bool
	listens string // the node is a listener, and follows this one; "nobody" is nobody
}

func fill(digit string) string { return strings.Repeat(digit, 64) }

func refuse(code codes.Code, reason cairnv1.ErrorReason_Value, message string) error {
	st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason.String(), Domain: "cairn"})
	if err != nil {
		return err
	}
	return st.Err()
}

func (f *fakeNode) SubmitTransaction(_ context.Context, req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
	tx := req.GetTransaction()
	key, _ := hex.DecodeString(tx.GetPublicKey())
	sig, _ := hex.DecodeString(tx.GetSignature())
	info, err := app.Admit(f.ledger, f.state, slices.Concat(key, sig, tx.GetBody()))
	if err != nil {
		var rejection *app.Rejection
		if !errors.As(err, &rejection) {
			return nil, err
		}
		reason := cairnv1.ErrorReason_Value(cairnv1.ErrorReason_Value_value[string(rejection.Reason)])
		return nil, refuse(codes.InvalidArgument, reason, err.Error())
	}
	var body cairnv1.TransactionBody
	if err := proto.Unmarshal(tx.GetBody(), &body); err != nil {
		return nil, err
	}
	receipt := &cairnv1.Receipt{FeeCharged: info.Fee, Height: 9, Index: 1, BlockId: fill("b")}
	answer := &cairnv1.SubmitTransactionResponse{Id: info.ID.String(), State: cairnv1.TransactionState_COMMITTED, Receipt: receipt}
	switch body.GetMemo() {
	case "fails":
		receipt.Code, receipt.Message = cairnv1.ReceiptCode_INSUFFICIENT_BALANCE, "it has 3, needs 5"
	case "stays":
		answer.State, answer.Receipt = cairnv1.TransactionState_PENDING, nil
	case "dropped":
		answer.State, answer.Receipt = cairnv1.TransactionState_REPLACED, nil
		answer.Rejection = &cairnv1.Rejection{Reason: cairnv1.ErrorReason_REPLACED, Message: "a dearer one came"}
	case "refused":
		return nil, refuse(codes.FailedPrecondition, cairnv1.ErrorReason_SEQUENCE_TOO_OLD, "the sequence 0 has been used")
	}
	if req.GetWait() == nil {
		answer.State, answer.Receipt = cairnv1.TransactionState_PENDING, nil
	}
	return answer, nil
}

func (f *fakeNode) GetTransaction(_ context.Context, req *cairnv1.GetTransactionRequest) (*cairnv1.Transaction, error) {
	if req.GetId() != fill("7") {
		return nil, refuse(codes.NotFound, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND, "no such transaction")
	}
	return fakeTransaction(), nil
}

func fakeTransaction() *cairnv1.Transaction {
	return &cairnv1.Transaction{
		Id: fill("7"), State: cairnv1.TransactionState_COMMITTED,
		Decoded: &cairnv1.TransactionBody{
			ChainId: fakeChain, Sender: address("alice"), Sequence: 4, Fee: 2, ExpiresAt: 1_800_000_000_000, Memo: "red\x1b[31m",
			Payload: &cairnv1.TransactionBody_Transfer{Transfer: &cairnv1.Transfer{Outputs: []*cairnv1.Transfer_Output{
				{To: address("bob"), Amount: 5}, {To: address("alice"), Amount: 1},
			}}},
		},
		Receipt: &cairnv1.Receipt{FeeCharged: 2, Height: 8, BlockId: fill("a")},
		Height:  proto.Uint64(8), Index: proto.Uint32(0),
	}
}

func (f *fakeNode) GetAccount(_ context.Context, req *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	if _, err := ledger.ParseAddress("cairn", req.GetAddress()); err != nil {
		return nil, refuse(codes.InvalidArgument, cairnv1.ErrorReason_INVALID_ADDRESS, err.Error())
	}
	a := &cairnv1.Account{Address: req.GetAddress(), Balance: 1000, Height: 9}
	if req.GetAddress() == address("alice") {
		a.Sequence, a.PendingSequence, a.PublicKey = 0, 2, testKey("alice").Public().String()
	}
	return a, nil
}

func fakeBlock(height uint64) *cairnv1.Block {
	b := &cairnv1.Block{
		Id: fill("a"), Height: height, Round: height + 3, Epoch: 1, ParentId: fill("9"), StateRoot: fill("1"),
		PayloadRoot: fill("2"), ReceiptsRoot: fill("3"), HistoryRoot: fill("4"), Timestamp: 1_767_225_600_000 + int64(height)*1000,
		Proposer: strings.Repeat("5", 40), TraceId: strings.Repeat("6", 32),
		Qc: &cairnv1.QuorumCertificate{Round: height + 3, Signatures: make([]*cairnv1.QuorumCertificate_Signature, 3)},
	}
	for i := range b.Qc.Signatures {
		b.Qc.Signatures[i] = &cairnv1.QuorumCertificate_Signature{}
	}
	if height == 8 {
		b.TransactionCount, b.Transactions = 1, []*cairnv1.Transaction{fakeTransaction()}
	}
	return b
}

func (f *fakeNode) GetBlock(_ context.Context, req *cairnv1.GetBlockRequest) (*cairnv1.Block, error) {
	switch s := req.GetSelector().(type) {
	case *cairnv1.GetBlockRequest_Height:
		if s.Height > 9 {
			return nil, refuse(codes.NotFound, cairnv1.ErrorReason_BLOCK_NOT_FOUND, "no block of height "+strconv.FormatUint(s.Height, 10))
		}
		return fakeBlock(s.Height), nil
	case *cairnv1.GetBlockRequest_Id:
		return fakeBlock(8), nil
	}
	return fakeBlock(9), nil
}

func (f *fakeNode) GetChain(context.Context, *cairnv1.GetChainRequest) (*cairnv1.Chain, error) {
	return &cairnv1.Chain{ChainId: fakeChain, AddressPrefix: "cairn", MinimumFee: 2}, nil
}

func validatorID(i int) string { return strings.Repeat(strconv.Itoa(i), 40) }

func (f *fakeNode) GetValidatorSet(context.Context, *cairnv1.GetValidatorSetRequest) (*cairnv1.ValidatorSet, error) {
	set := &cairnv1.ValidatorSet{Epoch: 1, TotalPower: 4, QuorumPower: 3}
	for i := range 4 {
		set.Validators = append(set.Validators, &cairnv1.Validator{Id: validatorID(i), Name: "node" + strconv.Itoa(i), Power: 1})
	}
	return set, nil
}

// ListEvidence has some only while the node is stalled.
func (f *fakeNode) ListEvidence(_ context.Context, req *cairnv1.ListEvidenceRequest) (*cairnv1.ListEvidenceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	piece := func(digit string, kind cairnv1.EvidenceKind_Value, round uint64) *cairnv1.Evidence {
		content := &cairnv1.SignedContent{Hash: fill("e"), Content: []byte("x"), Signature: fill("f") + fill("f")}
		return &cairnv1.Evidence{
			Id: fill(digit), Kind: kind, Validator: validatorID(2), Epoch: 1, Round: round, First: content, Second: content,
			SeenTime: 1_767_225_609_000,
		}
	}
	switch {
	case !f.stalled:
		return &cairnv1.ListEvidenceResponse{}, nil
	case req.GetPageToken() == "":
		return &cairnv1.ListEvidenceResponse{
			Evidence: []*cairnv1.Evidence{piece("d", cairnv1.EvidenceKind_VOTE, 12)}, NextPageToken: "next",
		}, nil
	}
	return &cairnv1.ListEvidenceResponse{Evidence: []*cairnv1.Evidence{piece("c", cairnv1.EvidenceKind_PROPOSAL, 7)}}, nil
}

func (f *fakeNode) GetStatus(context.Context, *cairnv1.GetStatusRequest) (*cairnv1.NodeStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &cairnv1.NodeStatus{
		Version: "v1", Name: "node0", ValidatorId: validatorID(0), Role: cairnv1.NodeRole_VALIDATOR, Height: 9, Round: 13, Epoch: 1,
		Leader: validatorID(2), HighQcRound: 12, CommittedBlockId: fill("a"), ConnectedPeers: 3, Ready: true,
		LastCommitTime: 1_767_225_609_000,
	}
	if f.stalled {
		s.Ready, s.ConnectedPeers, s.HighTcRound = false, 1, 12
		s.Reasons = []string{"connected with 2 of 4 validators, a quorum is 3", "3 timeouts without a new certificate"}
		s.MissingVoters = []string{validatorID(1), validatorID(3)}
	}
	if f.listens != "" {
		s.Ready, s.Reasons, s.MissingVoters = true, nil, nil
		s.Role, s.Round, s.Leader, s.ConnectedPeers = cairnv1.NodeRole_LISTENER, 0, "", 0
	}
	return s, nil
}

func (f *fakeNode) GetSyncStatus(context.Context, *cairnv1.GetSyncStatusRequest) (*cairnv1.SyncStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listens != "" {
		out := &cairnv1.SyncStatus{Synced: true, CurrentHeight: 9, TargetHeight: 10, TargetRound: 12}
		if f.listens != "nobody" {
			out.Upstream = &cairnv1.FollowedUpstream{Address: f.listens + ":9090", SinceTime: 1_767_225_605_250}
		}
		return out, nil
	}
	if !f.stalled {
		return &cairnv1.SyncStatus{Synced: true, CurrentHeight: 9, TargetHeight: 10, TargetRound: 12}, nil
	}
	return &cairnv1.SyncStatus{
		CurrentHeight: 9, TargetHeight: 1234, TargetRound: 1300, BlocksPerSecond: 245, Eta: durationpb.New(5 * time.Second),
		Peers: []string{validatorID(2)},
	}, nil
}

// StreamCommits sends two commits, then loses the stream.
func (f *fakeNode) StreamCommits(req *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	height := req.GetFromHeight()
	if token := req.GetResumeToken(); token != "" {
		after, err := strconv.ParseUint(strings.TrimPrefix(token, "after-"), 10, 64)
		if err != nil {
			return refuse(codes.InvalidArgument, cairnv1.ErrorReason_INVALID_RESUME_TOKEN, "not a token of this chain")
		}
		height = after + 1
	}
	for range 2 {
		b := fakeBlock(height)
		if !req.GetIncludeTransactions() {
			b.Transactions = nil
		}
		m := &cairnv1.StreamCommitsResponse{Height: &b.Height, Block: b, ResumeToken: "after-" + strconv.FormatUint(height, 10)}
		if err := s.Send(m); err != nil {
			return err
		}
		height++
	}
	return status.Error(codes.Unavailable, "the node is stopping")
}

// testKey is the key of a wallet of the tests, derived from its name.
func testKey(name string) signature.PrivateKey {
	var seed [signature.SeedSize]byte
	copy(seed[:], name)
	return signature.NewPrivateKey(seed)
}

func address(name string) string { return ledger.AddressOf(testKey(name).Public()).Text("cairn") }

// fakeHome makes a devnet's home with known wallets, and a node that it points to.
func fakeHome(t *testing.T) (home, endpoint string, fake *fakeNode) {
	t.Helper()
	home = filepath.Join(t.TempDir(), "home")
	network, err := node.WriteTestnet(home, node.NetworkOptions{Kind: node.Devnet, ChainID: fakeChain, Validators: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		seed := testKey(name).Seed()
		content := `{"type":"wallet","address":"` + address(name) + `","publicKey":"` + testKey(name).Public().String() +
			`","plain":"for devnets only","secret":"` + hex.EncodeToString(seed[:]) + `"}`
		path := filepath.Join(string(network.Wallets()), name+".json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fake = newFakeNode(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	cairnv1.RegisterTransactionServiceServer(server, fake)
	cairnv1.RegisterAccountServiceServer(server, fake)
	cairnv1.RegisterBlockServiceServer(server, fake)
	cairnv1.RegisterNodeServiceServer(server, fake)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	endpoint = listener.Addr().String()
	err = node.SaveEndpoints(home, node.Running{ChainID: fakeChain, Nodes: []node.RunningNode{{Name: "node0", RPC: endpoint}}})
	if err != nil {
		t.Fatal(err)
	}
	return home, endpoint, fake
}

func newFakeNode(t *testing.T) *fakeNode {
	t.Helper()
	document := ledger.Document{AddressPrefix: "cairn", MinimumFee: 2,
		Accounts: []ledger.GenesisAccount{{Address: address("alice"), Balance: 1000}}}.Encode()
	l, err := ledger.New(fakeChain, document, signature.NewEd25519())
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
	return &fakeNode{ledger: l, state: state}
}
