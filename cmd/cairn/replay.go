package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
)

func (c *cli) replayCommand() *cobra.Command {
	return &cobra.Command{
		Use: "replay DUMP", Short: "Execute the block of a dump again",
		Long: "Execute the block of a dump, which a node left when it stopped because of a block, on what it read then, and compare\n" +
			"the outcome with the node's and with the certified one. Nothing is changed.",
		Example: "  cairn replay ./testnet/node0/dumps/height-17-5a0c31f2", Args: oneArg("DUMP"),
		RunE: func(_ *cobra.Command, args []string) error {
			replayed, err := node.Replay(args[0], nil)
			if err != nil {
				return err
			}
			return c.print(replayed, func(w *bytes.Buffer) {
				r := replayed.Report
				fmt.Fprintf(w, "block %s of height %d, round %d\n\n", r.Block, r.Height, r.Round)
				printRows(w, row{"then", r.Kind + ": " + r.Error})
				if replayed.Outcome != nil {
					printRows(w, row{"state root", replayed.Outcome.StateRoot}, row{"receipts root", replayed.Outcome.ReceiptsRoot})
				} else {
					printRows(w, row{"now", replayed.Error})
				}
				fmt.Fprintf(w, "\n%s\n%s", replayed.Verdict, replayed.Stack)
			})
		},
	}
}
