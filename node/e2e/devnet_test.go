//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairnchain/cairn/client"
)

// stopBound is how long a devnet may take to stop.
const stopBound = 5 * time.Second

// running is what cairn devnet -o json prints: these fields and no others.
type running struct {
	ChainID string `json:"chainId"`
	Nodes   []struct {
		Name    string `json:"name"`
		REST    string `json:"rest"`
		RPC     string `json:"rpc"`
		Metrics string `json:"metrics"`
		Home    string `json:"home"`
	} `json:"nodes"`
	Wallets []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	} `json:"wallets"`
}

func (r running) urls() []string {
	var urls []string
	for _, n := range r.Nodes {
		urls = append(urls, n.REST)
	}
	return urls
}

// startDevnet starts a devnet on free ports and reads the line that it prints.
func (b *bed) startDevnet(name, home string) (*process, running) {
	b.t.Helper()
	p := b.spawn(name, nil, "devnet", "--home", home, "-o", "json", "--rest-port", "0", "--rpc-port", "0", "--metrics-port", "0")
	line := p.awaitFirst()
	var r running
	in := json.NewDecoder(strings.NewReader(line))
	in.DisallowUnknownFields()
	if err := in.Decode(&r); err != nil || in.More() {
		b.t.Fatalf("%v: %s", err, line)
	}
	back, err := json.Marshal(r)
	if err != nil || string(back) != strings.TrimSpace(line) {
		b.t.Errorf("the line has not the shape\n%s but\n%s", back, line)
	}
	if !strings.HasPrefix(r.ChainID, "devnet-") || len(r.Nodes) != validators || len(r.Wallets) != 2 ||
		r.Wallets[0].Name != "alice" || r.Wallets[1].Name != "bob" {
		b.t.Fatalf("%s", line)
	}
	for _, n := range r.Nodes {
		rest, err := url.Parse(n.REST)
		if _, _, split := net.SplitHostPort(n.RPC); err != nil || rest.Scheme != "http" || rest.Path != "" || split != nil ||
			filepath.Dir(n.Home) != home || n.Name != filepath.Base(n.Home) {
			b.t.Errorf("%+v", n)
		}
		metrics, err := http.Get(n.Metrics)
		if err != nil || metrics.StatusCode != http.StatusOK {
			b.t.Errorf("%s: %v, %v", n.Metrics, metrics, err)
			continue
		}
		metrics.Body.Close()
		// The line comes when all are ready.
		if status, ready, reasons := readiness(b.t.Context(), n.REST); status != http.StatusOK || !ready {
			b.t.Errorf("%s: %d, %v", n.Name, status, reasons)
		}
	}
	return p, r
}

// Ctrl-C under load and with open streams ends a devnet in time and well; the next start continues its chain.
func TestDevnetStopsAndContinues(t *testing.T) {
	b := newBed(t)
	home := b.path("devnet")
	devnet, r := b.startDevnet("first", home)
	load := b.startLoad(r.ChainID, b.openWallet(filepath.Join(home, "wallets", "alice.json")), 0, 4, r.urls())
	load.awaitMore(100)

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	ended := make(chan error)
	streams := 0
	follow := func(once func() error) {
		streams++
		go func() { ended <- once() }()
	}
	for _, n := range r.Nodes {
		m := &member{rest: n.REST, rpc: n.RPC}
		for _, once := range []func(*reader, context.Context, *member) error{(*reader).lines, (*reader).events} {
			reads := &reader{}
			follow(func() error { return once(reads, ctx, m) })
			b.await("a stream sends", func() bool { return reads.progress.Load() > 0 })
		}
		first := make(chan struct{})
		follow(func() error { return followOnce(ctx, n.RPC, first) })
		<-first
	}
	load.awaitMore(20)

	begin := time.Now()
	devnet.tell(syscall.SIGINT)
	code := devnet.awaitExit()
	took := time.Since(begin)
	t.Logf("stopped in %v, with %d transactions acknowledged and %d streams open", took, load.committed(), streams)
	if code != 0 || took > stopBound {
		t.Errorf("exit %d after %v", code, took)
	}
	load.abandon()
	for range streams {
		if err := <-ended; err == nil {
			t.Error("a stream goes on without its node")
		}
	}
	for _, left := range []string{"endpoints.json", "node0/endpoints.json"} {
		if _, err := os.Stat(filepath.Join(home, left)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", left, err)
		}
	}

	load.group.Wait()
	begin = time.Now()
	again, second := b.startDevnet("second", home)
	t.Logf("the second start was ready in %v", time.Since(begin))
	if second.ChainID != r.ChainID || second.Wallets[0] != r.Wallets[0] {
		t.Errorf("%+v, before %+v", second, r)
	}
	// This also commits what was certified and not yet committed at the stop.
	var sent submitted
	b.ask(&sent, "tx", "send", "--home", home, "--from", "bob", "--to", "alice", "--amount", "1", "--wait")
	if sent.State != "COMMITTED" {
		t.Errorf("%+v", sent)
	}
	t.Logf("its first commit was known after %v", time.Since(begin))
	n := &testnet{bed: b, chainID: r.ChainID}
	for _, node := range second.Nodes {
		n.members = append(n.members, &member{net: n, name: node.Name, home: node.Home, rest: node.REST, rpc: node.RPC})
	}
	// The very blocks and receipts of before.
	if history := n.agreed(load.acked); len(history.places) < len(load.acked) || len(load.acked) < 100 {
		t.Errorf("%d transactions on the chain, %d acknowledged", len(history.places), len(load.acked))
	}
	again.interrupt()
}

// followOnce reads a gRPC stream until its node is gone.
func followOnce(ctx context.Context, rpc string, first chan<- struct{}) error {
	c, err := client.Dial(rpc)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	zero := uint64(0)
	options := client.StreamOptions{FromHeight: &zero, Disconnected: func(err error, _ time.Duration) { cancel(err) }}
	for _, err := range c.StreamCommits(ctx, options) {
		if err != nil {
			break
		}
		if first != nil {
			close(first)
			first = nil
		}
	}
	return context.Cause(ctx)
}

// What cairn tx sign prints is what curl posts.
func TestSignedByTheBinaryPostedByCurl(t *testing.T) {
	b := newBed(t)
	home := b.path("devnet")
	devnet, r := b.startDevnet("devnet", home)
	o := b.cairn("tx", "sign", "--home", home, "--from", "alice", "--to", "bob", "--amount", "5", "--wait")
	if o.code != 0 || strings.Count(o.out, "\n") != 1 {
		t.Fatalf("exit %d: %s%s", o.code, o.out, o.errOut)
	}
	var answer submitted
	if err := json.Unmarshal(b.curl(o.out, r.Nodes[1].REST+"/v1/transactions"), &answer); err != nil ||
		answer.State != "COMMITTED" || answer.Receipt.Code != "OK" {
		t.Fatalf("%v, %+v", err, answer)
	}
	for _, n := range r.Nodes {
		var bob account
		b.get(n.REST, "/v1/accounts/"+r.Wallets[1].Address+"?minHeight="+strconv.FormatUint(answer.Receipt.Height, 10), &bob)
		var one block
		b.get(n.REST, "/v1/blocks/"+strconv.FormatUint(answer.Receipt.Height, 10), &one)
		if bob.Balance != 1_000_000_005 || one.ID != answer.Receipt.BlockID {
			t.Errorf("%s: %+v, block %s, want %s", n.Name, bob, one.ID, answer.Receipt.BlockID)
		}
	}
	var found committed
	b.ask(&found, "tx", "get", answer.ID, "--home", home)
	if found.State != "COMMITTED" || found.Decoded.Transfer.Outputs[0].Amount != 5 {
		t.Errorf("%+v", found)
	}
	devnet.interrupt()
}

// curl posts as curl -d @- does; by curl itself where there is one.
func (b *bed) curl(body, url string) []byte {
	b.t.Helper()
	if path, err := exec.LookPath("curl"); err == nil {
		cmd := exec.CommandContext(b.t.Context(), path, "-sS", "-d", "@-", url)
		cmd.Stdin = strings.NewReader(body)
		out, err := cmd.Output()
		if err != nil {
			b.t.Fatalf("curl: %v", err)
		}
		return out
	}
	b.t.Log("there is no curl here: the same request without it")
	answer, err := http.Post(url, "application/x-www-form-urlencoded", bytes.NewBufferString(strings.ReplaceAll(body, "\n", "")))
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	out, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}
