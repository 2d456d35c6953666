package main

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

func (c *cli) accountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "account ADDRESS|NAME", Short: "Show an account: balance and next sequence",
		Example: "  cairn account alice", Args: oneArg("an address or the name of a wallet"),
	}
	n := c.addConnection(cmd)
	cmd.ValidArgsFunction = n.completeWallets
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		address, err := n.address(args[0])
		if err != nil {
			return err
		}
		return n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			account, err := node.Account(ctx, address)
			if err != nil {
				return err
			}
			return c.print(account, func(w *bytes.Buffer) { printAccount(w, account) })
		})
	}
	return cmd
}

func printAccount(w *bytes.Buffer, a *cairnv1.Account) {
	key := a.GetPublicKey()
	if key == "" {
		key = "not known before the account's first transaction"
	}
	pending := ""
	if a.GetPendingSequence() != a.GetSequence() {
		pending = number(a.GetPendingSequence()) + " behind what is pending"
	}
	printRows(w, row{"address", a.GetAddress()}, row{"balance", number(a.GetBalance())},
		row{"sequence", number(a.GetSequence())}, row{"", pending}, row{"public key", key},
		row{"at height", number(a.GetHeight())})
}
