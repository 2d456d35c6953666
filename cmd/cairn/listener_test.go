package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/node"
)

// A devnet runs its listener beside the validators; a listener of its own is made by init and follows it; one whose
// checkpoint is wrong ends with a code of its own.
func TestListeners(t *testing.T) {
	home := filepath.Join(t.TempDir(), "devnet")
	args := []string{"devnet", "--home", home, "-o", "json", "--validators", "1", "--listeners", "1", "--rest-port", "0", "--rpc-port", "0",
		"--metrics-port", "0", "--consensus-idle-block-interval", "50ms"}
	first, stop := background(t, args...)
	var running node.Running
	if err := json.Unmarshal([]byte(first), &running); err != nil || len(running.Nodes) != 1 || len(running.Listeners) != 1 ||
		running.Listeners[0].Name != "listener0" {
		t.Fatalf("%v: %s", err, first)
	}
	var sent struct {
		State   string
		Receipt struct{ Height string }
	}
	ask(t, &sent, "tx", "send", "--home", filepath.Join(home, "listener0"), "--from", "alice", "--to", "bob", "--amount", "5", "--wait")
	if sent.State != "COMMITTED" {
		t.Fatalf("%+v", sent)
	}
	var status struct{ Role string }
	if ask(t, &status, "status", "--rpc", running.Listeners[0].RPC); status.Role != "LISTENER" {
		t.Errorf("%+v", status)
	}

	own := filepath.Join(t.TempDir(), "own")
	ask(t, &struct{}{}, "init", "--home", own, "--genesis", filepath.Join(home, "node0", "genesis.json"), "--upstream-addresses",
		running.Nodes[0].RPC+","+running.Listeners[0].RPC, "--node-name", "mine", "--rest-address", "127.0.0.1:0", "--rpc-address", "127.0.0.1:0",
		"--metrics-address", "127.0.0.1:0")
	started, stopOwn := background(t, "start", "--home", own, "-o", "json")
	var mine node.Running
	if err := json.Unmarshal([]byte(started), &mine); err != nil || len(mine.Nodes) != 1 || mine.Nodes[0].Name != "mine" {
		t.Fatalf("%v: %s", err, started)
	}
	ask(t, &sent, "tx", "send", "--home", home, "--rpc", mine.Nodes[0].RPC, "--from", "alice", "--to", "bob",
		"--amount", "1", "--wait")
	if code, errOut := stopOwn(); code != 0 {
		t.Errorf("exit %d: %s", code, errOut)
	}

	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"start", "--home", own, "--trusted-checkpoint", "1:" + strings.Repeat("ab", 32)}, &out, &errOut); code != exitDistrust.Code ||
		!strings.Contains(errOut.String(), "distrust.json") {
		t.Errorf("a wrong checkpoint: exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), []string{"start", "--home", own, "--upstream-addresses", ""}, &out, &errOut); code != exitKey.Code {
		t.Errorf("without upstreams: exit %d: %s", code, errOut.String())
	}
	if code, errOut := stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	if code := run(t.Context(), append(args, "--listeners", "2"), &out, &errOut); code != exitHome.Code {
		t.Errorf("with other listeners: exit %d: %s", code, errOut.String())
	}
	errOut.Reset()
	again := []string{"init", "--home", own, "--genesis", filepath.Join(home, "node0", "genesis.json"), "--upstream-addresses", "127.0.0.1:1"}
	if code := run(t.Context(), again, &out, &errOut); code != exitUsage.Code || !strings.Contains(errOut.String(), "name a new folder") {
		t.Errorf("init over a home: exit %d: %s", code, errOut.String())
	}
	errOut.Reset()
	again = []string{"testnet", "--output", own}
	if code := run(t.Context(), again, &out, &errOut); code != exitUsage.Code || !strings.Contains(errOut.String(), "name a new folder") {
		t.Errorf("testnet over a home: exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), []string{"init", "--home", filepath.Join(t.TempDir(), "x")}, &out, &errOut); code != exitUsage.Code {
		t.Errorf("init without a genesis: exit %d: %s", code, errOut.String())
	}
}

// A testnet's listeners know the validators, and have no safety record.
func TestTestnetListeners(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	var made struct{ Nodes, Listeners []struct{ Name, Home string } }
	ask(t, &made, "testnet", "--output", dir, "--validators", "2", "--listeners", "2", "--rpc-port", "9300")
	if len(made.Nodes) != 2 || len(made.Listeners) != 2 || made.Listeners[1].Name != "listener1" {
		t.Fatalf("%+v", made)
	}
	for _, l := range made.Listeners {
		settings, err := node.LoadSettings(filepath.Join(l.Home, "config.yaml"), nil)
		if err != nil || strings.Join(settings.Upstream.Addresses, " ") != "127.0.0.1:9300 127.0.0.1:9301" || len(settings.Peers) != 0 {
			t.Errorf("%+v, %v", settings.Upstream, err)
		}
		if _, err := os.Stat(filepath.Join(l.Home, "safety")); !os.IsNotExist(err) {
			t.Errorf("%s has a safety record: %v", l.Name, err)
		}
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"testnet", "--output", dir + "2", "--listeners", "1", "--rpc-port", "0"}, &out, &errOut); code != exitPort.Code {
		t.Errorf("unknown ports: exit %d: %s", code, errOut.String())
	}
}
