package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/devnet"
)

func (c *cli) devnetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "devnet", Short: "Run a chain on this machine: all validators in one process, with funded wallets and a faucet",
		Long: "Run a chain on this machine: all validators in one process, with funded wallets and a faucet. The first start\n" +
			"makes the chain in --home; later ones continue it. The result on standard output comes when all nodes are ready;\n" +
			"log lines go to standard error. Ctrl-C stops it.",
		Args: noArgs(),
	}
	flags := cmd.Flags()
	c.addHome(cmd, "folder of the devnet")
	validators := flags.Int("validators", 0, fmt.Sprintf("how many validators a new devnet has (default %d)", node.DefaultValidators))
	listeners := flags.Int("listeners", 0, "how many listeners a new devnet has: nodes that follow the validators without a vote")
	chainID := flags.String("chain-id", "", "id of a new chain; default: devnet- and six random digits")
	var opts node.NetworkOptions
	opts.AddChainFlags(flags)
	defaults := node.DefaultPorts()
	defaults.Peer = 0
	ports := addPorts(flags, defaults)
	node.AddSettingFlags(flags, isShared)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Changed("validators") && *validators < 1 {
			return usagef("--validators: %d is not above 0", *validators)
		}
		home, err := filepath.Abs(c.home)
		if err != nil {
			return err
		}
		var printed error
		run := func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			err := devnet.Run(ctx, devnet.Options{
				Home: home, Ports: *ports, Flags: flags,
				Network: node.NetworkOptions{
					Kind: node.Devnet, ChainID: *chainID, Validators: *validators, Listeners: *listeners, CommitRule: opts.CommitRule, Election: opts.Election,
					Faucet: true,
					Now:    time.Now(),
				},
				Logger: func(name string, s node.LogSettings) *slog.Logger { return newLogger(c.errOut, s).With("node", name) },
				Ready: func(r node.Running) {
					if printed = c.print(r, func(w *bytes.Buffer) { c.printRunning(w, r) }); printed != nil {
						cancel()
					}
				},
			})
			if err == nil {
				err = printed
			}
			return err
		}
		return untilStopped(cmd.Context(), run)
	}
	return cmd
}

// isShared reports whether all nodes of a devnet may have the same value of a setting.
func isShared(key string) bool {
	return key != "node.name" && !strings.HasPrefix(key, "upstream.") && !strings.HasSuffix(key, ".address")
}

func (c *cli) printRunning(w *bytes.Buffer, r node.Running) {
	fmt.Fprintf(w, "chain %s is ready\n\n", r.ChainID)
	table := [][]string{{"NODE", "REST", "gRPC", "METRICS"}}
	for _, n := range slices.Concat(r.Nodes, r.Listeners) {
		table = append(table, []string{n.Name, n.REST, n.RPC, n.Metrics})
	}
	printTable(w, table)
	fmt.Fprintln(w)
	table = [][]string{{"WALLET", "ADDRESS"}}
	for _, wallet := range r.Wallets {
		table = append(table, []string{wallet.Name, wallet.Address})
	}
	printTable(w, table)
	home := ""
	if same, err := filepath.Abs(defaultHome()); err != nil || same != filepath.Dir(r.Nodes[0].Home) {
		home = " --home " + filepath.Dir(r.Nodes[0].Home)
	}
	fmt.Fprintf(w, "\nTry, in another terminal:\n\n  cairn tx send%s --from alice --to bob --amount 5 --wait\n  cairn watch%s\n\n", home, home)
	fmt.Fprintf(w, "The API is described at %s/docs. Ctrl-C stops the chain; the next start continues it.\n", r.Nodes[0].REST)
}
