package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// idDigits is the length of an id as text.
const idDigits = 64

func (c *cli) blockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "block HEIGHT|ID|latest", Short: "Show a committed block and its transactions",
		Example: "  cairn block latest", Args: oneArg("a height, an id or latest"),
	}
	n := c.addConnection(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		read, err := blockReader(args[0])
		if err != nil {
			return err
		}
		return n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			block, err := read(ctx, node)
			if err != nil {
				return err
			}
			return c.print(block, func(w *bytes.Buffer) { printBlock(w, block) })
		})
	}
	return cmd
}

// blockReader understands which block is meant.
func blockReader(text string) (func(context.Context, *client.Client) (*cairnv1.Block, error), error) {
	if text == "latest" {
		return func(ctx context.Context, c *client.Client) (*cairnv1.Block, error) { return c.LatestBlock(ctx) }, nil
	}
	if len(text) == idDigits {
		return func(ctx context.Context, c *client.Client) (*cairnv1.Block, error) { return c.BlockByID(ctx, text) }, nil
	}
	height, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, usagef("%q is neither a height, an id of %d hex digits nor latest", text, idDigits)
	}
	return func(ctx context.Context, c *client.Client) (*cairnv1.Block, error) { return c.Block(ctx, height) }, nil
}

func printBlock(w *bytes.Buffer, b *cairnv1.Block) {
	certified := ""
	if qc := b.GetQc(); qc != nil {
		certified = fmt.Sprintf("by round %d, %d signatures", qc.GetRound(), len(qc.GetSignatures()))
	}
	printRows(w,
		row{"height", number(b.GetHeight())}, row{"id", b.GetId()}, row{"round", number(b.GetRound())},
		row{"epoch", number(b.GetEpoch())}, row{"time", blockTime(b)}, row{"proposer", b.GetProposer()},
		row{"parent", b.GetParentId()}, row{"state root", b.GetStateRoot()}, row{"payload root", b.GetPayloadRoot()},
		row{"receipts root", b.GetReceiptsRoot()}, row{"history root", b.GetHistoryRoot()}, row{"certified", certified},
		row{"trace", b.GetTraceId()}, row{"transactions", number(b.GetTransactionCount())})
	for _, tx := range b.GetTransactions() {
		fmt.Fprintf(w, "  %s\n", transactionLine(tx))
	}
}

// blockTime is the block's own time, in UTC so that all see the same.
func blockTime(b *cairnv1.Block) string {
	return time.UnixMilli(b.GetTimestamp()).UTC().Format("2006-01-02 15:04:05.000 UTC")
}

// transactionLine is a transaction on one line.
func transactionLine(tx *cairnv1.Transaction) string {
	line := tx.GetId()
	if body := tx.GetDecoded(); body != nil {
		line += " " + body.GetSender() + " ->"
		for i, o := range body.GetTransfer().GetOutputs() {
			if i > 0 {
				line += ","
			}
			line += fmt.Sprintf(" %s %d", o.GetTo(), o.GetAmount())
		}
	}
	if r := tx.GetReceipt(); r != nil {
		line += " " + r.GetCode().String()
	}
	return line
}
