package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/keys"
)

// connection is what a client command needs: a node to ask and wallets to know by name.
type connection struct {
	cli     *cli
	rpc     string
	timeout time.Duration
}

// defaultTimeout is how long a client command waits for answers, beside what it was told to wait for a commit.
const defaultTimeout = 10 * time.Second

// addConnection adds the flags by which a command finds its node and its wallets.
func (c *cli) addConnection(cmd *cobra.Command) *connection {
	n := &connection{cli: c}
	c.addHome(cmd, "folder of a devnet, a testnet or a node: where the node's endpoint and the wallets are found")
	cmd.Flags().StringVar(&n.rpc, "rpc", "", "gRPC endpoint of the node, host:port; default: the one of --home")
	cmd.Flags().DurationVar(&n.timeout, "timeout", defaultTimeout, "how long to wait for an answer")
	return n
}

func (n *connection) home() node.ClientHome { return node.FindClientHome(n.cli.home) }

// call connects and runs ask, which has the time of --timeout and extra beyond it.
func (n *connection) call(ctx context.Context, extra time.Duration, ask func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.timeout+extra)
	defer cancel()
	return n.follow(ctx, ask)
}

// follow is call without an end.
func (n *connection) follow(ctx context.Context, ask func(context.Context, *client.Client) error) error {
	endpoint, chainID := n.rpc, ""
	if endpoint == "" {
		home := n.home()
		var err error
		if endpoint, err = home.RPC(); err != nil {
			return err
		}
		chainID = home.ChainID
	}
	c, err := client.Dial(endpoint)
	if err != nil {
		return &usageError{err}
	}
	defer func() { _ = c.Close() }() // all calls have ended
	if err = checkChain(ctx, c, chainID); err == nil {
		err = ask(ctx, c)
	}
	if call := (*client.Error)(nil); errors.As(err, &call) && exitOfCall(call).Code == exitUnavailable.Code {
		return fmt.Errorf("node at %s: %w", endpoint, err)
	}
	return err
}

// checkChain wants a node of this chain: at the ports that a home names, that of another home may listen.
func checkChain(ctx context.Context, c *client.Client, chainID string) error {
	if chainID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	chain, err := c.Chain(ctx)
	if err == nil && chain.GetChainId() != chainID {
		return &chainError{fmt.Sprintf("a node of chain %s answers where the home's own, of chain %s, should be; is that one "+
			"running? --rpc asks any node", chain.GetChainId(), chainID)}
	}
	return err
}

// address is the address of a wallet that is known by this name; what can only be an address stands for itself.
func (n *connection) address(text string) (string, error) {
	if !keys.IsName(text) || strings.HasPrefix(text, n.home().Prefix+"1") {
		return text, nil
	}
	file, err := n.wallet(text)
	if err != nil {
		return "", err
	}
	return file.Label, nil
}

// wallet reads the key file of a wallet.
func (n *connection) wallet(name string) (keys.File, error) {
	folder := n.home().Wallets
	file, err := folder.Read(name)
	if errors.Is(err, keys.ErrNotFound) {
		return keys.File{}, fmt.Errorf("%w; cairn keys list shows those in %s", err, folder)
	}
	if err == nil && file.Kind != keys.Wallet {
		return keys.File{}, fmt.Errorf("key %s: %w: it is a key of a %s, not of a wallet", file.Path, keys.ErrMalformed, file.Kind)
	}
	return file, err
}

// completeWallets offers the names of wallets to the shell.
func (n *connection) completeWallets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, err := n.home().Wallets.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// openPassphrase reads the file of --passphrase-file; no file is no passphrase.
func openPassphrase(path string) (keys.Passphrase, error) {
	if path == "" {
		return keys.Passphrase{}, nil
	}
	return keys.ReadPassphrase(path)
}
