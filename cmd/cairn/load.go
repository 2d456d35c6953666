package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/client/load"
	"github.com/cairnchain/cairn/node/keys"
)

// loadFlags are the flags of a load.
type loadFlags struct {
	cli        *cli
	cmd        *cobra.Command
	endpoints  []string
	observe    []string
	from       string
	passphrase string
	mode, via  string
	cfg        load.Config
}

// defaultBank is the wallet that pays for the accounts where no other is named and the home has it.
const defaultBank = "alice"

func (c *cli) loadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "load", Short: "Put a chain under load, and report throughput and latency",
		Long: "Put a chain under load: sign real transfers between accounts that are made and funded for it, submit them, see\n" +
			"their commits, and report throughput and latency. At the end every acknowledged transaction must be committed once\n" +
			"and the balances of all accounts must add up; if not, the command fails.\n\n" +
			"In the closed loop (--mode closed) --window transactions are outstanding at any time, which shows what the chain can\n" +
			"take. In the open loop (--mode open) --rate are due per second whatever the answers are, and latency counts from\n" +
			"the instant at which each was due. What is refused is counted by its reason; its account rests for as long as the node\n" +
			"says, and its next submission takes the sequence. With --retry it is rather submitted again beside what is due.\n" +
			"What was acknowledged and dropped later is counted by its reason, and submitted again.\n\n" +
			"Ctrl-C ends the load: what is outstanding is waited for, then the report comes. A second one ends it at once.\n" +
			"Nodes outside a new devnet refuse more than 25000 submissions per second from one address: start them with\n" +
			"--rpc-submit-rate and --rpc-submit-burst.",
		Example: "  cairn load\n  cairn load --mode open --rate 50 --duration 30s\n" +
			"  cairn load --window 500 --accounts 1000 -o json\n" +
			"  cairn load --via stream --mode open --rate 10000 --accounts 2000",
		Args: noArgs(),
	}
	f, flags := &loadFlags{cli: c, cmd: cmd}, cmd.Flags()
	c.addHome(cmd, "folder of a devnet or a testnet: where the nodes are found, and the wallet that pays")
	flags.StringSliceVar(&f.endpoints, "endpoints", nil, "where to submit, host:port of gRPC or http://host:port of REST, separated by commas; default: all nodes of --home")
	flags.StringSliceVar(&f.observe, "observe", nil, "with --endpoints of REST: gRPC endpoints to see commits at; default: the nodes of --home")
	flags.StringVar(&f.via, "via", "", "how to submit: stream, on one stream per node; batch, many per call; grpc or rest, one per call; default: rest to --endpoints that are URLs, else stream")
	flags.StringVar(&f.mode, "mode", string(load.Closed), "closed: --window transactions outstanding; open: --rate per second")
	flags.IntVar(&f.cfg.Window, "window", 100, fmt.Sprintf("closed loop: outstanding transactions in total, 1 to %d, and at most 64 per account", load.MaxWindow))
	flags.Float64Var(&f.cfg.Rate, "rate", 50, "open loop: transactions per second")
	flags.IntVar(&f.cfg.Calls, "calls", 0, fmt.Sprintf("submissions under way at one endpoint, 1 to %d, by batch and stream to %d; more wait, and their latency runs; 0 is %d, by batch and stream %d",
		load.MaxCalls, load.MaxWindow, load.DefaultCalls, load.DefaultManyCalls))
	flags.BoolVar(&f.cfg.Retry, "retry", false, "submit what was refused again when the node says so, with its latency running on, beside what is due")
	flags.IntVar(&f.cfg.Presign, "presign", 0, "transactions to sign before the load begins; 0: in the open loop those that are due, up to 200000; negative: none")
	flags.DurationVar(&f.cfg.Warmup, "warmup", 2*time.Second, "how long to submit before anything is measured")
	flags.DurationVar(&f.cfg.Duration, "duration", 10*time.Second, "how long to measure; 0: until --count")
	flags.Uint64Var(&f.cfg.Count, "count", 0, "end after so many submissions; 0: no such end")
	flags.DurationVar(&f.cfg.Drain, "drain", load.DefaultDrain, "how long to wait at the end for missing commits while none comes; at most 8 times that in all")
	flags.IntVar(&f.cfg.Accounts, "accounts", 100, fmt.Sprintf("how many accounts pay each other, 2 to %d", load.MaxAccounts))
	flags.Uint64Var(&f.cfg.Seed, "seed", 0, "which accounts: a seed's are the same on every run; runs at the same time need different ones")
	flags.IntVar(&f.cfg.Size, "size", load.DefaultSize, fmt.Sprintf("bytes of a signed transaction, %d to %d", load.MinSize, load.MaxSize))
	flags.StringVar(&f.from, "from", "", "name of the wallet that funds the accounts; default: "+defaultBank+" if --home has it, else the faucet")
	flags.StringVar(&f.passphrase, "passphrase-file", "", "file with the passphrase of that wallet, if its key is encrypted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) }
	return cmd
}

func (f *loadFlags) run(ctx context.Context) (err error) {
	cfg, chainID, err := f.config()
	defer func() {
		for _, c := range cfg.Clients {
			_ = c.Close() // all calls have ended
		}
	}()
	if err != nil {
		return err
	}
	if err := checkAnyChain(ctx, cfg.Clients, chainID); err != nil {
		return err
	}
	report, err := load.Run(ctx, cfg)
	if errors.Is(err, load.ErrConfig) {
		return &usageError{err}
	}
	if err != nil && ctx.Err() != nil {
		return &outcomeError{exitFailure, "stopped before anything was submitted"}
	}
	if err != nil {
		return err
	}
	if err := f.cli.print(report, func(w *bytes.Buffer) { printLoad(w, report) }); err != nil {
		return err
	}
	switch err := report.Err(); {
	case errors.Is(err, load.ErrNothing), errors.Is(err, load.ErrPending):
		return &outcomeError{exitUnavailable, err.Error()}
	case err != nil:
		return &outcomeError{exitLost, err.Error()}
	}
	return nil
}

// checkAnyChain wants a node of this chain, the first that answers.
func checkAnyChain(ctx context.Context, clients []*client.Client, chainID string) (err error) {
	for _, c := range clients {
		var call *client.Error
		if err = checkChain(ctx, c, chainID); !errors.As(err, &call) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// config reads the flags. The chain id is that of the home where the nodes come from it.
func (f *loadFlags) config() (cfg load.Config, chainID string, err error) {
	if err := f.check(); err != nil {
		return cfg, "", err
	}
	cfg, cfg.Mode, cfg.Via = f.cfg, load.Mode(f.mode), load.Via(f.via)
	cfg.Progress, cfg.Labels = f.cli.showLoad, f.endpoints
	if cfg.Bank, err = f.bank(); err != nil {
		return cfg, "", err
	}
	asked := f.observe
	if cfg.Via == load.REST {
		if cfg.URLs, err = urlsOf(f.endpoints); err != nil {
			return cfg, "", &usageError{err}
		}
	} else {
		asked = f.endpoints
	}
	if len(asked) == 0 {
		if asked, err = f.fromHome(&cfg); err != nil && len(f.endpoints) > 0 {
			return cfg, "", usagef("where are commits to be seen? Give gRPC endpoints by --observe, or --home: %w", err)
		} else if err != nil {
			return cfg, "", err
		}
		chainID = (&connection{cli: f.cli}).home().ChainID
	}
	for _, endpoint := range asked {
		c, err := load.Dial(endpoint)
		if err != nil {
			return cfg, "", &usageError{err}
		}
		cfg.Clients = append(cfg.Clients, c)
	}
	return cfg, chainID, nil
}

// chooseVia says how to submit where no flag does.
func (f *loadFlags) chooseVia() error {
	if f.via != "" {
		return nil
	}
	urls := 0
	for _, endpoint := range f.endpoints {
		if isURL(endpoint) {
			urls++
		}
	}
	switch {
	case urls == 0:
		f.via = string(load.Stream)
	case urls == len(f.endpoints):
		f.via = string(load.REST)
	default:
		return usagef("--endpoints has both URLs, which are of REST, and host:port, which is of gRPC: give one kind, or say --via")
	}
	return nil
}

// check completes the flags, and wants none that would be ignored.
func (f *loadFlags) check() error {
	if err := f.chooseVia(); err != nil {
		return err
	}
	mode, flags := load.Mode(f.mode), f.cmd.Flags()
	switch {
	case flags.Changed("rate") && mode != load.Open:
		return usagef("--rate is of the open loop: add --mode open")
	case flags.Changed("window") && mode != load.Closed:
		return usagef("--window is of the closed loop; the open one has --rate")
	case len(f.observe) > 0 && (load.Via(f.via) != load.REST || len(f.endpoints) == 0):
		return usagef("--observe goes with --endpoints of REST")
	}
	return nil
}

func isURL(endpoint string) bool {
	return strings.HasPrefix(endpoint, "http://") || strings.HasPrefix(endpoint, "https://")
}

// urlsOf completes URLs of REST where only host:port was given. The error is a *client.EndpointError.
func urlsOf(endpoints []string) (urls []string, err error) {
	for _, endpoint := range endpoints {
		if !isURL(endpoint) {
			endpoint = "http://" + endpoint
		}
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, cmp.Or(client.CheckEndpoint(endpoint), error(&client.EndpointError{Endpoint: endpoint, Why: "it is not a URL"}))
		}
		// A gateway may stand behind any path, and at the scheme's own port.
		if err := client.CheckEndpoint(net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))); err != nil {
			return nil, err
		}
		urls = append(urls, strings.TrimSuffix(endpoint, "/"))
	}
	return urls, nil
}

// fromHome finds all nodes of the home: their gRPC endpoints, and where to submit if no flag says it.
func (f *loadFlags) fromHome(cfg *load.Config) (endpoints []string, err error) {
	nodes, err := (&connection{cli: f.cli}).home().Nodes()
	if err != nil {
		return nil, err
	}
	own := len(cfg.Labels) == 0
	for _, n := range nodes {
		endpoints = append(endpoints, n.RPC)
		if own && cfg.Via == load.REST {
			cfg.URLs = append(cfg.URLs, n.REST)
			cfg.Labels = append(cfg.Labels, n.REST)
		} else if own {
			cfg.Labels = append(cfg.Labels, n.RPC)
		}
	}
	return endpoints, nil
}

// bank is the wallet that pays for the accounts; nil: the faucet does.
func (f *loadFlags) bank() (*client.Wallet, error) {
	n := &connection{cli: f.cli}
	name := f.from
	if name == "" {
		name = defaultBank
	}
	file, err := n.wallet(name)
	if f.from == "" && errors.Is(err, keys.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	passphrase, err := openPassphrase(f.passphrase)
	if err != nil {
		return nil, err
	}
	key, err := file.Unlock(passphrase)
	if err != nil {
		return nil, err
	}
	return client.NewWallet(key.Private(), key.Prefix()), nil
}

// showLoad writes a line of progress.
func (c *cli) showLoad(p load.Progress) {
	latency := "no latency yet"
	if p.P50 > 0 {
		latency = fmt.Sprintf("p50 %.1f ms  p99 %.1f ms", float64(p.P50.Microseconds())/1000, float64(p.P99.Microseconds())/1000)
	}
	_, _ = fmt.Fprintf(c.errOut, "%3.0f s  %7.0f/s committed  %6d outstanding  %8d committed  %d rejected  %s\n",
		p.Elapsed.Seconds(), p.PerSecond, p.Outstanding, p.Committed, p.Rejected, latency)
}

func printLoad(w *bytes.Buffer, r *load.Report) {
	l := r.Latency
	loop := fmt.Sprintf("closed loop, window %d", r.Window)
	if r.Mode == load.Open {
		loop = fmt.Sprintf("open loop, %g/s", r.Rate)
	}
	pending, behind := "", ""
	if r.StillPending > 0 {
		pending = fmt.Sprintf("%d when no more were decided for long", r.StillPending)
	}
	if r.Behind > 0 {
		behind = fmt.Sprintf("%d were due and not submitted in time", r.Behind)
	}
	failed := ""
	if r.Failed > 0 {
		failed = fmt.Sprintf("%d of the committed ones, for want of funds", r.Failed)
	}
	printRows(w,
		row{"load", fmt.Sprintf("%s, by %s, %d accounts, transactions of %d bytes", loop, r.Via, r.Accounts, r.TransactionBytes)},
		row{"measured", fmt.Sprintf("%.1f s after %.1f s of warm-up", r.Seconds, r.WarmupSeconds)},
		row{"committed", fmt.Sprintf("%.1f/s", r.CommittedPerSecond)},
		row{"latency", fmt.Sprintf("p50 %.1f  p90 %.1f  p99 %.1f  max %.1f ms (%d samples)", l.P50, l.P90, l.P99, l.Max, l.Samples)},
		row{"in all", fmt.Sprintf("%d submitted, %d acknowledged, %d committed", r.Submitted, r.Acknowledged, r.Committed)},
		row{"lost", number(r.Lost)}, row{"still pending", pending}, row{"rejected", tally(r.Rejected)}, row{"unanswered", tally(r.Unanswered)},
		row{"dropped", tally(r.Dropped)}, row{"no effect", failed}, row{"behind", behind})
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "%s\n", problem)
	}
}

// tally lists counts by name; empty when there are none.
func tally(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
