package main

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cairnchain/cairn/node"
)

func addPorts(flags *pflag.FlagSet, defaults node.Ports) *node.Ports {
	p := &node.Ports{}
	for _, f := range []struct {
		into  *int
		name  string
		first int
		what  string
	}{
		{&p.REST, "rest-port", defaults.REST, "REST"}, {&p.RPC, "rpc-port", defaults.RPC, "gRPC"},
		{&p.Metrics, "metrics-port", defaults.Metrics, "metrics"}, {&p.Peer, "peer-port", defaults.Peer, "validator network"},
	} {
		flags.IntVar(f.into, f.name, f.first, f.what+" port of the first node; they count up; 0: any free ones")
	}
	return p
}

func (c *cli) testnetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "testnet --output DIR", Short: "Make the folders of a new chain, one per node, to run with cairn start",
		Example: "  cairn testnet --validators 4 --output ./testnet\n  cairn start --home ./testnet/node0", Args: noArgs(),
	}
	opts := node.NetworkOptions{Kind: node.Testnet}
	flags := cmd.Flags()
	output := flags.String("output", "", "folder to make, or an empty one")
	flags.IntVar(&opts.Validators, "validators", node.DefaultValidators, "how many validators")
	flags.IntVar(&opts.Listeners, "listeners", 0, "how many listeners: nodes that follow the validators without a vote")
	flags.StringVar(&opts.ChainID, "chain-id", "", "id of the chain; default: testnet- and six random digits")
	opts.AddChainFlags(flags)
	flags.StringVar(&opts.Host, "host", "127.0.0.1", "where the nodes listen and find each other; edit the settings files "+
		"for nodes on several machines")
	flags.BoolVar(&opts.Faucet, "faucet", false, "let every node give away funds")
	passphraseFile := flags.String("passphrase-file", "", "file with the passphrase that encrypts all keys; default: they are plain")
	ports := addPorts(flags, node.DefaultPorts())
	cmd.RunE = func(*cobra.Command, []string) error {
		if *output == "" {
			return usagef("want --output, the folder to make")
		}
		if opts.Validators < 1 {
			return usagef("--validators: %d is not above 0", opts.Validators)
		}
		var err error
		if opts.Passphrase, err = openPassphrase(*passphraseFile); err != nil {
			return err
		}
		opts.Ports, opts.Now = *ports, time.Now()
		network, err := node.WriteTestnet(*output, opts)
		if err != nil {
			return err
		}
		return c.printNetwork(network)
	}
	return cmd
}

func (c *cli) printNetwork(network *node.Network) error {
	wallets, err := network.WalletAddresses()
	if err != nil {
		return err
	}
	type home struct {
		Name string `json:"name"`
		Home string `json:"home"`
	}
	result := struct {
		ChainID string `json:"chainId"`
		Nodes   []home `json:"nodes"`
		// Listeners are the nodes without a vote.
		Listeners []home               `json:"listeners,omitempty"`
		Wallets   []node.WalletAddress `json:"wallets"`
	}{ChainID: network.ChainID, Wallets: wallets}
	for i, h := range network.Homes() {
		result.Nodes = append(result.Nodes, home{network.Nodes[i], string(h)})
	}
	for i, h := range network.ListenerHomes() {
		result.Listeners = append(result.Listeners, home{network.Listeners[i], string(h)})
	}
	return c.print(result, func(w *bytes.Buffer) {
		with := ""
		if n := len(network.Listeners); n > 0 {
			with = fmt.Sprintf(" and %d listeners", n)
		}
		fmt.Fprintf(w, "chain %s, %d validators%s. Start each in a process of its own:\n\n", network.ChainID, len(network.Nodes), with)
		for _, h := range slices.Concat(network.Homes(), network.ListenerHomes()) {
			fmt.Fprintf(w, "  cairn start --home %s\n", h)
		}
		fmt.Fprintf(w, "\nwallets\n")
		for _, wallet := range wallets {
			fmt.Fprintf(w, "  %-6s %s\n", wallet.Name, wallet.Address)
		}
		fmt.Fprintf(w, "\nthen try\n\n  cairn tx send --home %s --from alice --to bob --amount 5 --wait\n", network.Dir)
	})
}
