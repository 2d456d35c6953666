package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

func (c *cli) txWatchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch ID", Short: "Follow a transaction until it is decided, one line for each step",
		Long: "Follow a transaction until it is decided, one line for each step: that it is pending, each block that proposes it, and\n" +
			"how it ends. A lost connection is made again. The command fails when the transaction is not committed, or committed\n" +
			"without effect. With -o json each line is a message of StreamTransaction.",
		Args: oneArg("the id of a transaction"),
	}
	n := c.addConnection(cmd)
	wait := cmd.Flags().Duration("wait", 0, "how long to wait for a transaction that the node does not know yet")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *wait < 0 {
			return usagef("--wait: %v is negative", *wait)
		}
		// A node that is not there is an error; one that goes away is waited for.
		if err := n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			_, err := node.Status(ctx)
			return err
		}); err != nil {
			return err
		}
		return n.follow(cmd.Context(), func(ctx context.Context, node *client.Client) error {
			return c.watchTransaction(ctx, node, args[0], *wait)
		})
	}
	return cmd
}

func (c *cli) watchTransaction(ctx context.Context, node *client.Client, id string, wait time.Duration) error {
	for event, err := range node.WatchTransaction(ctx, id, wait) {
		if err != nil {
			return err
		}
		if err := c.print(event, func(w *bytes.Buffer) { printLife(w, event) }); err != nil {
			return err
		}
		if event.GetState() != cairnv1.TransactionState_PENDING {
			return outcomeOf(&cairnv1.SubmitTransactionResponse{State: event.GetState(), Receipt: event.GetReceipt()}, 0)
		}
	}
	return nil
}

func printLife(w *bytes.Buffer, e *cairnv1.StreamTransactionResponse) {
	fmt.Fprintf(w, "%s  ", time.UnixMilli(e.GetSeenTime()).UTC().Format("15:04:05.000"))
	switch p, r := e.GetProposal(), e.GetReceipt(); {
	case p != nil:
		fmt.Fprintf(w, "proposed   height %d  round %d  block %.16s  leader %.16s\n", p.GetHeight(), p.GetRound(), p.GetBlockId(), p.GetLeader())
	case r != nil:
		fmt.Fprintf(w, "committed  height %d  index %d  block %.16s  %s  fee %d\n", r.GetHeight(), r.GetIndex(), r.GetBlockId(), r.GetCode(), r.GetFeeCharged())
	case e.GetRejection() != nil:
		fmt.Fprintf(w, "%-9s  %s: %s\n", strings.ToLower(e.GetState().String()), e.GetRejection().GetReason(), e.GetRejection().GetMessage())
	default:
		fmt.Fprintf(w, "%s\n", strings.ToLower(e.GetState().String()))
	}
}
