package load_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/client/load"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/devnet"
)

// network runs a devnet of two nodes until the test ends.
func network(t *testing.T) (node.Running, []*client.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan node.Running, 1), make(chan error, 1)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	node.AddSettingFlags(flags, nil)
	if err := flags.Set("consensus-idle-block-interval", "50ms"); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir() + "/devnet" // here, so that it is removed after the network has ended
	go func() {
		done <- devnet.Run(ctx, devnet.Options{
			Home:    home,
			Network: node.NetworkOptions{Kind: node.Devnet, Validators: 2, Faucet: true, Now: time.Now()},
			Flags:   flags, Ready: func(r node.Running) { ready <- r },
			Logger: func(string, node.LogSettings) *slog.Logger { return slog.New(slog.DiscardHandler) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case running := <-ready:
		var clients []*client.Client
		for _, n := range running.Nodes {
			c, err := load.Dial(n.RPC)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			clients = append(clients, c)
		}
		return running, clients
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return node.Running{}, nil
	}
}

// Every way to make load on a real network: what is acknowledged is committed, once, and the books agree. The first run
// is funded by the faucet, the others find their accounts funded; the rate is well above the default of a node.
func TestLoadOnDevnet(t *testing.T) {
	running, clients := network(t)
	var urls []string
	for _, n := range running.Nodes {
		urls = append(urls, n.REST)
	}
	const count = 200
	for _, cfg := range []load.Config{
		{Mode: load.Closed, Window: 20},
		{Mode: load.Closed, Window: 300, Accounts: 2}, // more than two accounts may have pending
		{Mode: load.Closed, Window: 20, Via: load.REST},
		{Mode: load.Open, Rate: 1000},
		{Mode: load.Open, Rate: 1000, Via: load.REST},
	} {
		cfg.Clients, cfg.URLs, cfg.Count, cfg.Labels = clients, urls, count, []string{"a", "b"}
		if cfg.Accounts == 0 {
			cfg.Accounts = 10
		}
		report, err := load.Run(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s %s: %v", cfg.Mode, cfg.Via, err)
		}
		if err := report.Err(); err != nil {
			t.Errorf("%s %s: %v", cfg.Mode, cfg.Via, err)
		}
		if report.Submitted != count || report.Acknowledged != count || report.Committed != count || report.Lost != 0 ||
			report.Unexpected != 0 || len(report.Rejected) != 0 || report.Behind != 0 || report.Latency.Samples != count {
			t.Errorf("%s %s: %+v", cfg.Mode, cfg.Via, report)
		}
		l := report.Latency
		if l.P50 <= 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.Max < l.P99 || report.TransactionBytes != load.DefaultSize {
			t.Errorf("%s %s: %+v", cfg.Mode, cfg.Via, report)
		}
		checkFields(t, report)
	}
}

// checkFields wants the fields that scripts rely on.
func checkFields(t *testing.T, report *load.Report) {
	t.Helper()
	raw, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	latency, _ := fields["latencyMs"].(map[string]any)
	for _, in := range []struct {
		of   map[string]any
		keys []string
	}{
		{fields, []string{"mode", "via", "seconds", "accounts", "endpoints", "committedPerSecond", "submitted", "acknowledged",
			"committed", "lost", "rejected"}},
		{latency, []string{"p50", "p90", "p99", "max"}},
	} {
		for _, key := range in.keys {
			if in.of[key] == nil {
				t.Errorf("no field %s in %s", key, raw)
			}
		}
	}
	if fields["window"] == nil && fields["rate"] == nil {
		t.Errorf("neither window nor rate in %s", raw)
	}
}

// Interrupted, a run still reports, and all that was acknowledged by then is committed.
func TestInterrupted(t *testing.T) {
	_, clients := network(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	report, err := load.Run(ctx, load.Config{
		Clients: clients, Mode: load.Closed, Window: 10, Accounts: 10, Duration: time.Hour,
		Progress: func(p load.Progress) {
			if p.Committed > 0 {
				interrupt()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil || report.Committed == 0 || report.Acknowledged != report.Committed {
		t.Errorf("%v: %+v", err, report)
	}
}

// What nobody can pay for is said before anything is submitted.
func TestPoorBank(t *testing.T) {
	running, clients := network(t)
	_, err := load.Run(t.Context(), load.Config{
		Clients: clients, Mode: load.Closed, Window: 1, Accounts: 2, Count: 1,
		Bank: client.NewWallet(testKey(9), "cairn"),
	})
	if !errors.Is(err, load.ErrFunds) {
		t.Errorf("chain %s: %v", running.ChainID, err)
	}
}
