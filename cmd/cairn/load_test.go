package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/node"
)

// loadResult is what scripts read of a report.
type loadResult struct {
	CommittedPerSecond                       float64
	LatencyMs                                struct{ P50, P90, P99, Max float64 }
	Submitted, Acknowledged, Committed, Lost uint64
	Endpoints                                []string
	Rejected                                 map[string]uint64
}

// The load finds the nodes and the wallet of a devnet by itself, or goes where it is sent.
func TestLoad(t *testing.T) {
	home := filepath.Join(t.TempDir(), "devnet")
	first, stop := background(t, "devnet", "--home", home, "-o", "json", "--validators", "2", "--rest-port", "0", "--rpc-port", "0",
		"--metrics-port", "0", "--consensus-idle-block-interval", "50ms")
	defer func() {
		if code, errOut := stop(); code != 0 {
			t.Errorf("exit %d: %s", code, errOut)
		}
	}()
	var running node.Running
	if err := json.Unmarshal([]byte(first), &running); err != nil {
		t.Fatal(err)
	}
	rpc, rest := running.Nodes[1].RPC, running.Nodes[1].REST
	short := []string{"--accounts", "5", "--count", "50", "--duration", "0", "--warmup", "0"}
	for _, test := range []struct {
		args      []string
		endpoints string
	}{
		{[]string{"--home", home}, running.Nodes[0].RPC + " " + rpc},
		{[]string{"--home", home, "--via", "rest"}, running.Nodes[0].REST + " " + rest},
		{[]string{"--home", home, "--via", "rest", "--endpoints", rest, "--mode", "open", "--rate", "500"}, rest},
		{[]string{"--home", home, "--endpoints", rpc, "--window", "5"}, rpc},
		{[]string{"--home", home, "--endpoints", rest}, rest}, // a URL says by itself that it is of REST
		// Of the chain nothing but its endpoints is known: the faucet pays.
		{[]string{"--home", t.TempDir(), "--endpoints", rpc, "--seed", "7"}, rpc},
		{[]string{"--home", t.TempDir(), "--via", "rest", "--endpoints", strings.TrimPrefix(rest, "http://"), "--observe", rpc},
			strings.TrimPrefix(rest, "http://")},
	} {
		var r loadResult
		ask(t, &r, append(append([]string{"load"}, short...), test.args...)...)
		// An open loop is over when all are sent, perhaps before anything is committed.
		moved := r.CommittedPerSecond > 0 || slices.Contains(test.args, "open")
		if r.Submitted != 50 || r.Acknowledged != 50 || r.Committed != 50 || r.Lost != 0 || len(r.Rejected) != 0 ||
			strings.Join(r.Endpoints, " ") != test.endpoints || !moved || r.LatencyMs.P50 <= 0 {
			t.Errorf("%v: %+v", test.args, r)
		}
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--home", home, "--endpoints", rest + "," + rpc}, exitUsage.Code, "give one kind"},
		{[]string{"--home", home, "--endpoints", rpc, "--via", "rest"}, exitUnavailable.Code, "no endpoint answers by REST"},
		{[]string{"--home", t.TempDir(), "--endpoints", rest}, exitUsage.Code, "--observe"},
		{[]string{"--home", home, "--endpoints", "'" + rpc + "'"}, exitUsage.Code, "quotation marks"},
		{[]string{"--home", home, "--via", "rest", "--endpoints", "'127.0.0.1:8080'"}, exitUsage.Code, "quotation marks"},
		{[]string{"--home", home, "--endpoints", "http://127.0.0.1:port"}, exitUsage.Code, "its port"},
		{[]string{"--home", home, "--endpoints", rpc, "--observe", rpc}, exitUsage.Code, "--observe goes with"},
	} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), append(append([]string{"load"}, short...), test.args...), &out, &errOut)
		if code != test.code || !strings.Contains(errOut.String(), test.says) || out.Len() > 0 {
			t.Errorf("%v: exit %d: %s%s", test.args, code, out.String(), errOut.String())
		}
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), append([]string{"load", "--home", home}, short...), &out, &errOut); code != 0 ||
		!strings.Contains(out.String(), "50 submitted, 50 acknowledged, 50 committed") {
		t.Errorf("exit %d: %s%s", code, out.String(), errOut.String())
	}
}

// forgetfulNode acknowledges every transaction and never commits one. Its accounts are rich.
type forgetfulNode struct{ *fakeNode }

func (forgetfulNode) SubmitTransaction(_ context.Context, req *cairnv1.SubmitTransactionRequest) (*cairnv1.SubmitTransactionResponse, error) {
	return &cairnv1.SubmitTransactionResponse{
		Id: ledger.ID(req.GetTransaction().GetBody()).String(), State: cairnv1.TransactionState_PENDING,
	}, nil
}

func (forgetfulNode) GetAccount(_ context.Context, req *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	return &cairnv1.Account{Address: req.GetAddress(), Balance: 1_000_000_000}, nil
}

func (forgetfulNode) StreamCommits(_ *cairnv1.StreamCommitsRequest, s grpc.ServerStreamingServer[cairnv1.StreamCommitsResponse]) error {
	<-s.Context().Done()
	return s.Context().Err()
}

// What was acknowledged and is lost makes the command fail, with a code of its own, after the report.
func TestLoadLost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forgetful, server := forgetfulNode{newFakeNode(t)}, grpc.NewServer()
	cairnv1.RegisterTransactionServiceServer(server, forgetful)
	cairnv1.RegisterAccountServiceServer(server, forgetful)
	cairnv1.RegisterBlockServiceServer(server, forgetful)
	cairnv1.RegisterNodeServiceServer(server, forgetful)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"load", "--home", t.TempDir(), "--endpoints", listener.Addr().String(), "--via", "grpc", "--mode", "open",
		"--rate", "1000", "--count", "20", "--duration", "0", "--warmup", "0", "--accounts", "4", "--drain", "20ms", "-o", "json"}, &out, &errOut)
	var r loadResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errOut.String())
	}
	if code != exitLost.Code || r.Acknowledged != 20 || r.Lost != 20 || !strings.Contains(errOut.String(), "20 of 20") {
		t.Errorf("exit %d: %+v: %s", code, r, errOut.String())
	}
}

// busyNode is asked for an account and does not answer.
type busyNode struct {
	*fakeNode
	asked chan struct{}
}

func (b busyNode) GetAccount(ctx context.Context, _ *cairnv1.GetAccountRequest) (*cairnv1.Account, error) {
	b.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// Ctrl-C before the load has begun is no fault of a node's, and says so.
func TestLoadStoppedEarly(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	busy, server := busyNode{newFakeNode(t), make(chan struct{}, 2)}, grpc.NewServer()
	cairnv1.RegisterAccountServiceServer(server, busy)
	cairnv1.RegisterNodeServiceServer(server, busy)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-busy.asked; cancel() }()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"load", "--home", t.TempDir(), "--endpoints", listener.Addr().String(), "--accounts", "2"}, &out, &errOut)
	if code != exitFailure.Code || !strings.Contains(errOut.String(), "before anything was submitted") || strings.Contains(errOut.String(), "is the node running") {
		t.Errorf("exit %d: %s%s", code, out.String(), errOut.String())
	}
}
