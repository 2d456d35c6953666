package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// newCounterCluster is a cluster whose application is app/counter.
func newCounterCluster(t *testing.T, validators int) *cluster {
	t.Helper()
	dir, homes, settings := t.TempDir(), make([]keys.Key, validators), DefaultSettings()
	network := &Network{Dir: dir, Kind: Devnet, ChainID: "count-test"}
	genesis := &GenesisDocument{
		ChainID: network.ChainID, CommitRule: consensus.TwoChain.String(), ContiguousRounds: DefaultContiguousRounds(consensus.TwoChain),
		Election:  consensus.Reputation.String(),
		Timestamp: time.Now().Truncate(time.Millisecond), App: []byte("{}"),
	}
	for i := range homes {
		key, err := keys.NewValidator()
		if err != nil {
			t.Fatal(err)
		}
		homes[i] = key
		network.Nodes = append(network.Nodes, nodeName(i))
		genesis.Validators = append(genesis.Validators, GenesisValidator{Name: nodeName(i), PublicKey: key.Public().String(), Power: 1})
	}
	for i, key := range homes {
		own := settings
		for j, other := range homes {
			if j != i {
				own.Peers = append(own.Peers, PeerEntry{nodeName(j), other.Public().String(), nthAddress("127.0.0.1", 7070, j)})
			}
		}
		if _, err := InitHome(filepath.Join(dir, nodeName(i)), HomeOptions{Genesis: genesis, Key: key, Settings: own}); err != nil {
			t.Fatal(err)
		}
	}
	c := clusterOf(t, network)
	c.app = counter.Counter{}
	return c
}

// count submits a transaction to m.
func (m *clusterMember) count(name string, number uint64) consensus.Hash {
	m.c.t.Helper()
	status, err := m.node.Submit(counter.Tx(name, number))
	if err != nil || status.Code != mempool.Accepted {
		m.c.t.Fatalf("%s %d: %+v, %v", name, number, status, err)
	}
	return status.ID
}

// wantCount waits until a transaction is committed on all members, and compares what they answer.
func (c *cluster) wantCount(last consensus.Hash, name, want string) storage.Transaction {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var first storage.Transaction
	for i, m := range c.members {
		tx, err := m.node.WaitCommitted(ctx, last)
		if err != nil {
			c.t.Fatal(err)
		}
		if i == 0 {
			first = tx
		}
		if tx.Info != first.Info || tx.Receipt.Code != app.CodeOK {
			c.t.Errorf("%s committed it in %+v, node0 in %+v", m.node.Name(), tx.Info, first.Info)
		}
		if got, err := m.node.Query([]byte(name)); err != nil || string(got) != want {
			c.t.Errorf("%s counts %q, %v, want %s", m.node.Name(), got, err, want)
		}
	}
	return first
}

func TestAnotherAppCountsAndAgrees(t *testing.T) {
	c := newCounterCluster(t, 4)
	c.start()
	var last consensus.Hash
	for i := range uint64(12) {
		last = c.members[i%4].count("sheep", i)
	}
	c.wantCount(last, "sheep", "12")

	status, err := c.members[1].node.Submit(app.Tx("sheep"))
	if err != nil || status.Code != mempool.Invalid || status.Rejection == nil || status.Rejection.Reason != app.ReasonMalformed {
		t.Errorf("no transaction of the app: %+v, %v", status, err)
	}
	status, err = c.members[1].node.Submit(counter.Tx("sheep", 3))
	if err != nil || status.Code != mempool.SequenceTooOld {
		t.Errorf("a number that is used: %+v, %v", status, err)
	}
	for _, m := range c.members {
		m.halt()
	}
	c.start()
	if got, err := c.members[2].node.Query([]byte("sheep")); err != nil || string(got) != "12" {
		t.Errorf("after the restart %q, %v", got, err)
	}
	c.wantCount(c.members[3].count("sheep", 12), "sheep", "13")
}

// The API of a node with another application: blocks and status, health and reflection; what belongs to the ledger is
// not there, and says so.
func TestAPIOfAnotherApp(t *testing.T) {
	c := newCounterCluster(t, 1)
	c.start()
	m := c.members[0]
	tx := c.wantCount(m.count("sheep", 0), "sheep", "1")
	id := tx.Receipt.ID.String()

	block, err := m.client.Block(t.Context(), uint64(tx.Height))
	if err != nil || len(block.GetTransactions()) != 1 {
		t.Fatalf("%v, %v", block, err)
	}
	if got := block.GetTransactions()[0]; got.GetId() != id || got.GetState() != cairnv1.TransactionState_COMMITTED ||
		got.GetReceipt().GetBlockId() != block.GetId() || got.GetTransaction() != nil || got.GetDecoded() != nil {
		t.Errorf("%v", got)
	}
	chain, err := m.client.Chain(t.Context())
	if err != nil || chain.GetChainId() != "count-test" || chain.GetAddressPrefix() != "" || chain.GetFaucet() {
		t.Errorf("%v, %v", chain, err)
	}
	status, err := m.client.Status(t.Context())
	if err != nil || !status.GetReady() || status.GetHeight() < uint64(tx.Height) {
		t.Errorf("%v, %v", status, err)
	}
	for commit, err := range m.client.StreamCommits(t.Context(), client.StreamOptions{FromHeight: &block.Height}) {
		if err != nil || commit.Block.GetId() != block.GetId() {
			t.Errorf("%v, %v", commit, err)
		}
		break
	}
	for name, call := range map[string]func() error{
		"account":     func() error { _, err := m.client.Account(t.Context(), "x"); return err },
		"transaction": func() error { _, err := m.client.Transaction(t.Context(), id); return err },
		"faucet":      func() error { _, err := m.client.RequestFunds(t.Context(), "x", 1); return err },
	} {
		if err := call(); client.ReasonOf(err) != cairnv1.ErrorReason_UNIMPLEMENTED {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkServices(t, m.node.Endpoints().RPC)
	checkREST(t, m.node.Endpoints().REST, tx)
}

// checkServices compares what health and reflection know.
func checkServices(t *testing.T, target string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	health, err := healthv1.NewHealthClient(conn).List(t.Context(), &healthv1.HealthListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, one := range health.GetStatuses() {
		names = append(names, name)
		if one.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%q is %v", name, one.GetStatus())
		}
	}
	slices.Sort(names)
	if want := []string{"", "cairn.v1.BlockService", "cairn.v1.NodeService"}; !slices.Equal(names, want) {
		t.Errorf("health knows %q, want %q", names, want)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	names = nil
	for _, one := range answer.GetListServicesResponse().GetService() {
		if strings.HasPrefix(one.GetName(), "cairn.") {
			names = append(names, one.GetName())
		}
	}
	if want := []string{"cairn.v1.BlockService", "cairn.v1.NodeService"}; !slices.Equal(names, want) {
		t.Errorf("reflection lists %q, want %q", names, want)
	}
}

// checkREST calls what is there, and what is not.
func checkREST(t *testing.T, url string, tx storage.Transaction) {
	t.Helper()
	for _, call := range []struct {
		method, path string
		code         int
		says         string
	}{
		{http.MethodGet, "/v1/chain", http.StatusOK, `"count-test"`},
		{http.MethodGet, "/v1/status", http.StatusOK, `"node0"`},
		{http.MethodGet, fmt.Sprintf("/v1/blocks/%d", tx.Height), http.StatusOK, tx.Receipt.ID.String()},
		{http.MethodGet, "/readyz", http.StatusOK, `true`},
		{http.MethodPost, "/v1/transactions", http.StatusNotImplemented, `"UNIMPLEMENTED"`},
		{http.MethodGet, "/v1/transactions/" + tx.Receipt.ID.String(), http.StatusNotImplemented, `"UNIMPLEMENTED"`},
		{http.MethodGet, "/v1/accounts/x", http.StatusNotImplemented, `"UNIMPLEMENTED"`},
		{http.MethodPost, "/v1/faucet", http.StatusNotImplemented, `"UNIMPLEMENTED"`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), call.method, url+call.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != call.code || !strings.Contains(string(body), call.says) || !json.Valid(body) {
			t.Errorf("%s %s: %s %s, %v", call.method, call.path, answer.Status, body, err)
		}
	}
}
