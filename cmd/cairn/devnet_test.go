package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cairnchain/cairn/node"
)

// firstWrite passes on what is written first, and collects the rest.
type firstWrite struct {
	once  sync.Once
	first chan string
	mu    sync.Mutex
	all   bytes.Buffer
}

func (w *firstWrite) Write(b []byte) (int, error) {
	w.once.Do(func() { w.first <- string(b) })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.Write(b)
}

// background runs a command until stop, and returns what it printed first.
func background(t *testing.T, args ...string) (first string, stop func() (code int, errOut string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, errOut := &firstWrite{first: make(chan string, 1)}, &firstWrite{first: make(chan string, 1)}
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, out, errOut) }()
	stop = func() (int, string) {
		cancel()
		return <-done, errOut.all.String()
	}
	select {
	case first = <-out.first:
	case code := <-done:
		cancel()
		t.Fatalf("cairn %s: exit %d: %s", strings.Join(args, " "), code, errOut.all.String())
	}
	return first, stop
}

func ask(t *testing.T, into any, args ...string) {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), append(args, "-o", "json"), &out, &errOut); code != 0 {
		t.Fatalf("cairn %s: exit %d: %s", strings.Join(args, " "), code, errOut.String())
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

// The way of a newcomer: a devnet, a transfer, its commit on all nodes; then the devnet again, with the same chain.
func TestDevnet(t *testing.T) {
	home := filepath.Join(t.TempDir(), "devnet")
	args := []string{"devnet", "--home", home, "-o", "json", "--rest-port", "0", "--rpc-port", "0", "--metrics-port", "0",
		"--consensus-idle-block-interval", "50ms"}
	first, stop := background(t, args...)
	var running node.Running
	if err := json.Unmarshal([]byte(first), &running); err != nil || strings.Count(first, "\n") != 1 {
		t.Fatalf("%v: %s", err, first)
	}
	if len(running.Nodes) != 4 || len(running.Wallets) != 2 || running.Wallets[0].Name != "alice" ||
		!strings.HasPrefix(running.ChainID, "devnet-") {
		t.Fatalf("%+v", running)
	}
	var sent struct {
		State   string
		Receipt struct{ Height string }
	}
	ask(t, &sent, "tx", "send", "--home", home, "--from", "alice", "--to", "bob", "--amount", "5", "--wait")
	if sent.State != "COMMITTED" {
		t.Fatalf("%+v", sent)
	}
	checkEveryNode(t, running, sent.Receipt.Height)

	// The folder is in use: neither a second devnet nor a node of it starts.
	for _, second := range [][]string{args, {"start", "--home", filepath.Join(home, "node0")}} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), second, &out, &errOut); code != exitLocked.Code {
			t.Errorf("%v: exit %d: %s", second, code, errOut.String())
		}
	}
	if code, errOut := stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"status", "--home", home}, &out, &errOut); code != exitUnavailable.Code ||
		!strings.Contains(errOut.String(), "cairn devnet") {
		t.Errorf("after the stop: exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), append(args, "--validators", "3"), &out, &errOut); code != exitHome.Code {
		t.Errorf("with other validators: exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), append(args, "--commit-rule", "three_chain"), &out, &errOut); code != exitHome.Code {
		t.Errorf("with another commit rule: exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), append(args, "--election", "round_robin"), &out, &errOut); code != exitHome.Code {
		t.Errorf("with another election: exit %d: %s", code, errOut.String())
	}

	again, stop := background(t, args...)
	var second node.Running
	if err := json.Unmarshal([]byte(again), &second); err != nil || second.ChainID != running.ChainID {
		t.Fatalf("%v: %s", err, again)
	}
	checkEveryNode(t, second, sent.Receipt.Height)
	ask(t, &sent, "tx", "send", "--home", home, "--from", "bob", "--to", "alice", "--amount", "1", "--wait")
	if sent.State != "COMMITTED" {
		t.Errorf("%+v", sent)
	}
	if code, errOut := stop(); code != 0 {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

// checkEveryNode wants one block at a height, and bob's five, from all nodes.
func checkEveryNode(t *testing.T, running node.Running, height string) {
	t.Helper()
	ids, roots := map[string]bool{}, map[string]bool{}
	for _, n := range running.Nodes {
		var out, errOut bytes.Buffer // follow the commits until this node has the height, too
		if code := run(t.Context(), []string{"watch", "--rpc", n.RPC, "--from", "1", "--count", height}, &out, &errOut); code != 0 {
			t.Fatalf("watch: exit %d: %s", code, errOut.String())
		}
		var block struct{ ID, StateRoot string }
		ask(t, &block, "block", height, "--rpc", n.RPC, "--home", n.Home)
		ids[block.ID], roots[block.StateRoot] = true, true
		var account struct{ Balance string }
		ask(t, &account, "account", "bob", "--home", n.Home)
		if account.Balance != "1000000005" {
			t.Errorf("%s: bob has %s", n.Name, account.Balance)
		}
	}
	if len(ids) != 1 || len(roots) != 1 {
		t.Errorf("ids %v, roots %v", ids, roots)
	}
}

// Every refusal to start has its exit code, and says what to do.
func TestStartRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	remove := func(names ...string) func(t *testing.T, home node.Home) {
		return func(t *testing.T, home node.Home) {
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(string(home), name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	write := func(content string, names ...string) func(t *testing.T, home node.Home) {
		return func(t *testing.T, home node.Home) {
			for _, name := range names {
				if err := os.WriteFile(filepath.Join(string(home), name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	other := filepath.Join(t.TempDir(), "other")
	if code := run(t.Context(), []string{"testnet", "--validators", "1", "--output", other}, &bytes.Buffer{}, os.Stderr); code != 0 {
		t.Fatal("no testnet")
	}
	copyFrom := func(name string) func(t *testing.T, home node.Home) {
		return func(t *testing.T, home node.Home) {
			raw, err := os.ReadFile(filepath.Join(other, "node0", name))
			if err != nil {
				t.Fatal(err)
			}
			write(string(raw), name)(t, home)
		}
	}
	nothing := func(*testing.T, node.Home) {}
	for name, test := range map[string]struct {
		spoil func(*testing.T, node.Home)
		args  []string
		exit  exit
		says  string
	}{
		"nothing there":      {remove("config.yaml", "genesis.json"), nil, exitHome, "cairn testnet"},
		"no key":             {remove("validator.json"), nil, exitNotFound, "validator.json"},
		"no safety record":   {remove("safety/safety.a", "safety/safety.b"), nil, exitNoSafety, "safety"},
		"damaged record":     {write("x", "safety/safety.a", "safety/safety.b"), nil, exitDamaged, "safety"},
		"exposed key":        {func(t *testing.T, h node.Home) { chmod(t, h.ValidatorKeyFile()) }, nil, exitKey, "chmod 600"},
		"bad setting":        {write("rpc:\n  adress: x\n", "config.yaml"), nil, exitSettings, "rpc.address?"},
		"bad value by flag":  {nothing, []string{"--rpc-max-streams", "0"}, exitSettings, "rpc.max-streams"},
		"unreadable flag":    {nothing, []string{"--mempool-ttl", "5"}, exitUsage, "unit"},
		"bad genesis":        {write("{}", "genesis.json"), nil, exitGenesis, "genesis"},
		"genesis of another": {copyFrom("genesis.json"), nil, exitKey, "validator"},
		"port in use":        {nothing, []string{"--rpc-address", busy.Addr().String()}, exitPort, "--rpc-address"},
		// The more severe first: what may not be signed with is told before what is in the way of the API.
		"damaged record, port in use": {write("x", "safety/safety.a", "safety/safety.b"), []string{"--rpc-address", busy.Addr().String()}, exitDamaged, "safety"},
		"no record, port in use":      {remove("safety/safety.a", "safety/safety.b"), []string{"--rpc-address", busy.Addr().String()}, exitNoSafety, "safety"},
		"damaged database, port in use": {func(t *testing.T, h node.Home) {
			t.Helper()
			if err := os.Mkdir(h.DataDir(), 0o700); err != nil {
				t.Fatal(err)
			}
			write("x", "data/CURRENT")(t, h)
		}, []string{"--rpc-address", busy.Addr().String()}, exitCorrupt, "repair"},
		"passphrase not there": {nothing, []string{"--passphrase-file", "/nonexistent"}, exitNotFound, "passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "net")
			if code := run(t.Context(), []string{"testnet", "--validators", "1", "--output", dir}, &bytes.Buffer{}, os.Stderr); code != 0 {
				t.Fatal("no testnet")
			}
			home := node.Home(filepath.Join(dir, "node0"))
			test.spoil(t, home)
			args := append([]string{"start", "--home", string(home), "--rest-address", "127.0.0.1:0", "--metrics-address", "",
				"--peer-address", "127.0.0.1:0"}, test.args...)
			if !strings.Contains(strings.Join(test.args, " "), "--rpc-address") {
				args = append(args, "--rpc-address", "127.0.0.1:0")
			}
			var out, errOut bytes.Buffer
			code := run(t.Context(), args, &out, &errOut)
			if code != test.exit.Code || !strings.Contains(errOut.String(), test.says) || out.Len() != 0 {
				t.Errorf("exit %d, want %d: %s%s", code, test.exit.Code, out.String(), errOut.String())
			}
		})
	}
}

func chmod(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
}

// One node alone is a chain: it starts, commits, stops, and starts again.
func TestTestnetAndStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	var made struct{ Nodes []struct{ Home string } }
	ask(t, &made, "testnet", "--validators", "1", "--output", dir, "--faucet")
	if len(made.Nodes) != 1 {
		t.Fatalf("%+v", made)
	}
	var errOut bytes.Buffer
	other := []string{"testnet", "--output", dir + "2", "--commit-rule", "four_chain"}
	if code := run(t.Context(), other, &bytes.Buffer{}, &errOut); code != exitUsage.Code || !strings.Contains(errOut.String(), "three_chain") {
		t.Errorf("unknown commit rule: exit %d: %s", code, errOut.String())
	}
	errOut.Reset()
	other = []string{"testnet", "--output", dir + "2", "--election", "lottery"}
	if code := run(t.Context(), other, &bytes.Buffer{}, &errOut); code != exitUsage.Code || !strings.Contains(errOut.String(), "round_robin") {
		t.Errorf("unknown election: exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), []string{"testnet", "--output", dir}, &bytes.Buffer{}, &bytes.Buffer{}); code != exitUsage.Code {
		t.Errorf("over another: exit %d", code)
	}
	for range 2 {
		first, stop := background(t, "start", "--home", made.Nodes[0].Home, "-o", "json", "--rest-address", "127.0.0.1:0",
			"--rpc-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--peer-address", "127.0.0.1:0")
		var running node.Running
		if err := json.Unmarshal([]byte(first), &running); err != nil || len(running.Nodes) != 1 {
			t.Fatalf("%v: %s", err, first)
		}
		var sent struct{ State string }
		ask(t, &sent, "tx", "send", "--home", made.Nodes[0].Home, "--from", "alice", "--to", "bob", "--amount", "5", "--wait")
		if sent.State != "COMMITTED" {
			t.Errorf("%+v", sent)
		}
		if code, errOut := stop(); code != 0 {
			t.Fatalf("exit %d: %s", code, errOut)
		}
	}
}

func TestPortClashNamesTheFlag(t *testing.T) {
	home := filepath.Join(t.TempDir(), "devnet")
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"devnet", "--home", home, "--rest-port", "9091"}, &out, &errOut)
	if code != exitPort.Code || !strings.Contains(errOut.String(), "--rpc-port") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("a home was made: %v", err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	errOut.Reset()
	code = run(t.Context(), []string{"devnet", "--validators", "1", "--home", home, "--rest-port", port, "--rpc-port", "0", "--metrics-port", "0"}, &out, &errOut)
	if code != exitPort.Code || !strings.Contains(errOut.String(), "--rest-port") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}
