package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testChain   = "rpc-test"
	testFee     = 10
	testBalance = 1_000_000_000
	testWallets = 8 // each with testBalance
	faucetKey   = 7 // of them
)

// keyOf is the n-th wallet's key.
func keyOf(n int) signature.PrivateKey {
	var seed [signature.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
	return signature.NewPrivateKey(seed)
}

func addressOf(n int) string { return ledger.AddressOf(keyOf(n).Public()).Text(ledger.DefaultPrefix) }

// fixture is a node without consensus: blocks are committed to its store by the test.
type fixture struct {
	t         testing.TB
	committee *consensustest.Committee
	genesis   *consensus.Genesis
	ledger    *ledger.Ledger
	kv        storage.KV
	store     *storage.Store
	pool      *mempool.Pool
	server    *Server
	status    atomic.Pointer[engine.Status]
	peers     []PeerStatus
	internal  chan error // causes of INTERNAL errors

	tip     storage.Record
	history consensus.History

	transactions cairnv1.TransactionServiceClient
	accounts     cairnv1.AccountServiceClient
	blocks       cairnv1.BlockServiceClient
	node         cairnv1.NodeServiceClient
	faucet       cairnv1.FaucetServiceClient
	health       healthv1.HealthClient
	conn         *grpc.ClientConn
	grpc         *grpc.Server
}

// options alter a fixture before it is made.
type options struct {
	config   func(*Config)
	pool     func(*mempool.Limits)
	kv       storage.KV
	listener listener
	noFaucet bool // in genesis
	members  int  // validators of equal power; 0: 4
}

type listener interface {
	net.Listener
	DialContext(ctx context.Context) (net.Conn, error)
}

// start makes a node of four validators at genesis and serves its API over memory.
func start(t testing.TB, alter ...func(*options)) *fixture {
	t.Helper()
	o := defaults()
	for _, f := range alter {
		f(&o)
	}
	f := build(t, o)
	f.serve(o.listener)
	return f
}

func defaults() options {
	return options{
		config: func(*Config) {}, pool: func(*mempool.Limits) {}, kv: storagetest.NewMemory(nil), listener: bufconn.Listen(1 << 16),
	}
}

func configured(change func(*Config)) func(*options) { return func(o *options) { o.config = change } }

func limited(change func(*Limits)) func(*options) {
	return configured(func(c *Config) { change(&c.Limits) })
}

func build(t testing.TB, o options) *fixture {
	t.Helper()
	if o.members == 0 {
		o.members = 4
	}
	f := &fixture{t: t, committee: consensustest.New(consensustest.Equal(o.members)...), kv: o.kv, internal: make(chan error, 100)}
	document := ledger.Document{AddressPrefix: ledger.DefaultPrefix, MinimumFee: testFee, Faucet: !o.noFaucet}
	for n := range testWallets {
		document.Accounts = append(document.Accounts, ledger.GenesisAccount{Address: addressOf(n), Balance: testBalance})
	}
	f.genesis = &consensus.Genesis{
		ChainID: testChain, Rule: consensus.TwoChain, ContiguousRounds: 2, Election: consensus.RoundRobin, Timestamp: consensustest.Start,
		Validators: f.committee.Set, AppDocument: document.Encode(),
	}
	var err error
	if f.ledger, err = ledger.New(testChain, document.Encode(), signature.NewEd25519()); err != nil {
		t.Fatal(err)
	}
	first, err := f.ledger.Genesis(document.Encode())
	if err != nil {
		t.Fatal(err)
	}
	genesis := storage.Genesis{Chain: f.genesis, Changes: first.Changes}
	if f.store, err = storage.Open(o.kv, genesis); err != nil {
		t.Fatal(err)
	}
	_, f.history = genesis.Block()
	if f.tip, err = f.store.Block(0); err != nil {
		t.Fatal(err)
	}
	var limits mempool.Limits
	o.pool(&limits)
	f.pool = mempool.New(mempool.Config{
		App: f.ledger, State: f.store.State, Now: time.Now, BlockTime: f.tip.Info.Timestamp, Limits: limits,
	})
	f.status.Store(f.calm())
	for _, i := range f.committee.All()[1:] {
		f.peers = append(f.peers, PeerStatus{ID: f.committee.ID(i), Connected: true})
	}
	cfg := Config{
		Store: f.store, Pool: f.pool, Ledger: f.ledger, Genesis: f.genesis,
		Status: func() *engine.Status { return f.status.Load() }, Peers: func() []PeerStatus { return f.peers },
		Name: "node-0", Version: "v1.2.3", Self: f.committee.ID(0),
		Faucet:     &Faucet{Key: keyOf(faucetKey)},
		Limits:     Limits{SubmitRate: -1, FaucetRate: -1},
		OnInternal: func(_ string, cause error) { f.internal <- cause },
	}
	o.config(&cfg)
	if f.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

// calm is the status of an engine that waits for work.
func (f *fixture) calm() *engine.Status {
	return &engine.Status{Status: core.Status{
		Round: f.tip.Info.Round + 1, Leader: f.committee.ID(1), HighQC: f.tip.QC, CommitQC: f.tip.Proof, Root: f.tip.Info,
	}}
}

func (f *fixture) serve(l listener) {
	f.t.Helper()
	f.grpc = grpc.NewServer(f.server.ServerOptions()...)
	f.server.Register(f.grpc)
	served := make(chan error, 1)
	go func() { served <- f.grpc.Serve(l) }()
	f.conn = f.dial(l)
	f.transactions = cairnv1.NewTransactionServiceClient(f.conn)
	f.accounts = cairnv1.NewAccountServiceClient(f.conn)
	f.blocks = cairnv1.NewBlockServiceClient(f.conn)
	f.node = cairnv1.NewNodeServiceClient(f.conn)
	f.faucet = cairnv1.NewFaucetServiceClient(f.conn)
	f.health = healthv1.NewHealthClient(f.conn)
	f.t.Cleanup(func() {
		f.server.Shutdown()
		f.grpc.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			f.t.Error(err)
		}
		if len(f.internal) > 0 {
			f.t.Errorf("INTERNAL: %v", <-f.internal)
		}
	})
}

func (f *fixture) dial(l listener, opts ...grpc.DialOption) *grpc.ClientConn {
	f.t.Helper()
	conn, err := grpc.NewClient("passthrough:///node", append([]grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	return conn
}

// commit commits a block with these transactions in the round after the tip's and tells the pool. It may be called from
// any goroutine, one at a time.
func (f *fixture) commit(txs ...app.Tx) storage.Record {
	return f.commitIn(f.tip.Info.Round+1, txs...)
}

func (f *fixture) commitIn(round consensus.Round, txs ...app.Tx) storage.Record {
	parent := f.tip
	header := consensus.Header{
		Epoch: parent.Info.Epoch, Round: round, Height: parent.Info.Height + 1, Parent: parent.Info.ID,
		ParentRound: parent.Info.Round, ParentStateRoot: parent.Info.StateRoot, Timestamp: parent.Info.Timestamp + 1000,
		Proposer: f.committee.ID(f.committee.Leader(round)),
	}
	if round > parent.Info.Round+1 {
		header.Failed = []byte{1<<1 | 1<<3}
	}
	payload := make([][]byte, len(txs))
	for i, tx := range txs {
		payload[i] = tx
	}
	block := consensus.NewBlock(header, parent.QC, payload)
	result, err := f.ledger.Execute(f.store.State(), app.Block{
		Header:       app.Header{Height: header.Height, Timestamp: header.Timestamp, Proposer: header.Proposer},
		Transactions: txs,
	})
	if err != nil {
		panic(err)
	}
	info := consensus.BlockInfo{
		Epoch: header.Epoch, Round: round, ID: block.ID(), Height: header.Height, Timestamp: header.Timestamp,
		StateRoot:    storage.StateRoot(parent.Info.StateRoot, result.Changes),
		ReceiptsRoot: app.ReceiptsRoot(result.Receipts),
	}
	f.history = f.history.Append(info.Leaf())
	info.HistoryRoot = f.history.Root()
	record := storage.Record{Block: block, Summary: storage.Summary{
		Head: block.Head(), Info: info, QC: f.certify(info, parent.Info),
		Proof:    f.certify(consensus.BlockInfo{Epoch: info.Epoch, Round: round + 1, Height: info.Height + 1, ID: consensus.Hash{1}}, info),
		Receipts: result.Receipts,
	}}
	if err := f.store.Commit(storage.Commit{
		Block: block, Info: info, QC: record.QC, Proof: record.Proof, History: f.history, Changes: result.Changes,
		Receipts: result.Receipts,
	}); err != nil {
		panic(err)
	}
	f.pool.Committed(record.TransactionIDs(), result.Sequences, info.Timestamp)
	f.tip = record
	return record
}

// commitPending commits what the pool holds.
func (f *fixture) commitPending() storage.Record {
	candidates := f.pool.Next(mempool.Room{Transactions: consensus.MaxBlockTransactions, Bytes: consensus.MaxBlockBytes}, nil)
	return f.commit(candidates...)
}

// certify signs for a block as the first quorum of the validators would.
func (f *fixture) certify(block, parent consensus.BlockInfo) *consensus.QC {
	data := consensus.VoteData{Block: block, Parent: parent}
	if block.Round == parent.Round+1 {
		data.Commit = parent
	}
	var parts []consensus.SignedBy
	for i := range int(f.committee.Set.QuorumPower()) {
		identity := f.committee.Identity(i)
		identity.Domain = f.genesis.Domain()
		vote := identity.Vote(&consensus.Vote{Data: data}).Get()
		parts = append(parts, consensus.SignedBy{Signer: vote.Signer, Signature: vote.Signature})
	}
	return consensus.NewQC(data, parts)
}

// transfer is a good body.
func transfer(from int, sequence uint64, change ...func(*ledger.Body)) ledger.Body {
	body := ledger.Body{
		ChainID: testChain, Sender: ledger.AddressOf(keyOf(from).Public()), Sequence: sequence, Fee: testFee,
		Outputs: []ledger.Output{{To: ledger.AddressOf(keyOf(from + 1).Public()), Amount: 5}},
	}
	for _, f := range change {
		f(&body)
	}
	return body
}

func (f *fixture) sign(from int, body ledger.Body) ledger.Transaction {
	f.t.Helper()
	raw, err := body.Encode(ledger.DefaultPrefix)
	if err != nil {
		f.t.Fatal(err)
	}
	return ledger.Sign(keyOf(from), raw)
}

func (f *fixture) transfer(from int, sequence uint64, change ...func(*ledger.Body)) ledger.Transaction {
	return f.sign(from, transfer(from, sequence, change...))
}

func toWire(tx ledger.Transaction) *cairnv1.SignedTransaction {
	return &cairnv1.SignedTransaction{Body: tx.Body, PublicKey: tx.PublicKey.String(), Signature: tx.Signature.String()}
}

// submit posts a transaction; wait 0 does not wait.
func (f *fixture) submit(ctx context.Context, tx ledger.Transaction, wait time.Duration) (*cairnv1.SubmitTransactionResponse, error) {
	req := &cairnv1.SubmitTransactionRequest{Transaction: toWire(tx)}
	if wait != 0 {
		req.Wait = durationpb.New(wait)
	}
	return f.transactions.SubmitTransaction(ctx, req)
}

func (f *fixture) mustSubmit(tx ledger.Transaction) *cairnv1.SubmitTransactionResponse {
	f.t.Helper()
	answer, err := f.submit(f.t.Context(), tx, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer
}

// details of a status of the API, which must have exactly one ErrorInfo.
type details struct {
	code     codes.Code
	reason   cairnv1.ErrorReason_Value
	message  string
	metadata map[string]string
	fields   []string
	retry    time.Duration
}

func detailsOf(t testing.TB, err error) details {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	st := status.Convert(err)
	d := details{code: st.Code(), message: st.Message()}
	infos := 0
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			infos++
			if detail.GetDomain() != "cairn" {
				t.Errorf("domain %q", detail.GetDomain())
			}
			d.reason = cairnv1.ErrorReason_Value(cairnv1.ErrorReason_Value_value[detail.GetReason()])
			d.metadata = detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				d.fields = append(d.fields, v.GetField())
			}
		case *errdetails.RetryInfo:
			d.retry = detail.GetRetryDelay().AsDuration()
		}
	}
	if infos != 1 {
		t.Fatalf("%d ErrorInfos in %v", infos, err)
	}
	if r := table[d.reason]; d.code != r.code && (r.other == codes.OK || d.code != r.other) {
		t.Errorf("%v comes as %v, the table has %v", d.reason, d.code, r)
	}
	return d
}

func wantReason(t testing.TB, err error, reason cairnv1.ErrorReason_Value) details {
	t.Helper()
	d := detailsOf(t, err)
	if d.reason != reason {
		t.Fatalf("got %v, want %v", err, reason)
	}
	return d
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var errDisk = errors.New("the disk is on fire")

// brokenKV fails reads when told to.
type brokenKV struct {
	storage.KV
	broken bool
}

func (b *brokenKV) Snapshot() (storage.Snapshot, error) {
	if b.broken {
		return nil, errDisk
	}
	return b.KV.Snapshot()
}

// breakDisk makes every read fail from now on.
func (f *fixture) breakDisk() { f.kv.(*brokenKV).broken = true }

// pass lets time pass, in a bubble of package synctest.
func pass(d time.Duration) { <-time.After(d) }
