package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

func (c *cli) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch", Short: "Follow commits, one line each",
		Long: "Follow commits, one line each, until it is interrupted. A lost connection is made again, and no height is\n" +
			"left out or repeated. With -o json each line is {\"height\", \"block\", \"resumeToken\"}.",
		Args: noArgs(),
	}
	n := c.addConnection(cmd)
	var opts client.StreamOptions
	from := cmd.Flags().Uint64("from", 0, "first height; default: the next to be committed")
	cmd.Flags().StringVar(&opts.ResumeToken, "resume", "", "go on behind the line that had this resumeToken")
	cmd.Flags().BoolVar(&opts.IncludeTransactions, "transactions", false, "show the transactions of each block")
	limit := cmd.Flags().Uint64("count", 0, "end after so many commits; 0: never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("from") {
			opts.FromHeight = from
		}
		// A node that is not there is an error; one that goes away is waited for.
		if err := n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			_, err := node.Status(ctx)
			return err
		}); err != nil {
			return err
		}
		err := n.follow(cmd.Context(), func(ctx context.Context, node *client.Client) error {
			return c.watch(ctx, node, opts, *limit)
		})
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return nil // by the user
		}
		return err
	}
	return cmd
}

func (c *cli) watch(ctx context.Context, node *client.Client, opts client.StreamOptions, limit uint64) error {
	opts.Disconnected = func(err error, retryIn time.Duration) {
		_, _ = fmt.Fprintf(c.errOut, "cairn: the stream was lost: %v; again in %v\n", err, retryIn.Round(time.Millisecond))
	}
	seen := uint64(0)
	for commit, err := range node.StreamCommits(ctx, opts) {
		if err != nil {
			return err
		}
		line := &cairnv1.StreamCommitsResponse{
			Height: &commit.Height, Block: commit.Block, ResumeToken: commit.ResumeToken,
		}
		if err := c.print(line, func(w *bytes.Buffer) { printCommit(w, commit.Block) }); err != nil {
			return err
		}
		if seen++; seen == limit {
			return nil
		}
	}
	return nil
}

func printCommit(w *bytes.Buffer, b *cairnv1.Block) {
	fmt.Fprintf(w, "%s  height %d  round %d  transactions %d  block %.16s  trace %s\n", blockTime(b), b.GetHeight(),
		b.GetRound(), b.GetTransactionCount(), b.GetId(), b.GetTraceId())
	for _, tx := range b.GetTransactions() {
		fmt.Fprintf(w, "  %s\n", transactionLine(tx))
	}
}
