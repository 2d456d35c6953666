package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
)

// progressInterval is how often a long command says how far it is.
const progressInterval = time.Second

func (c *cli) repairCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "repair", Short: "Check a node's database wholly, and replace it by what of it can be proved",
		Long: `Check a node's database wholly, and replace it by what of it can be proved.

The node must not run. The command copies the database, for which there must be room twice beside it, and makes another
one of the copy: from genesis on, every block is linked to the one before it, its certificates are verified, and it is
executed again. If the database is just that one, nothing is changed. Otherwise the new one takes its place and the old
one is kept under the name that is printed. What could not be proved the node fetches from its peers. The safety record
is not touched. Interrupted at any point, it can be run again.`,
		Example: "  cairn repair --home ./testnet/node0", Args: noArgs(),
	}
	c.addHome(cmd, "folder of the node")
	cmd.RunE = func(*cobra.Command, []string) error {
		home, err := filepath.Abs(c.home)
		if err != nil {
			return err
		}
		report, err := node.Repair(node.Home(home), node.Repairing{Progress: c.repairProgress()})
		if err != nil {
			return err
		}
		return c.printRepair(report)
	}
	return cmd
}

// repairProgress says every now and then which height is proved.
func (c *cli) repairProgress() func(uint64) {
	next := time.Now().Add(progressInterval)
	return func(height uint64) {
		if now := time.Now(); now.After(next) {
			next = now.Add(progressInterval)
			_, _ = fmt.Fprintf(c.errOut, "proved and executed up to height %d\n", height)
		}
	}
}

func (c *cli) printRepair(r node.RepairReport) error {
	result := struct {
		Outcome     string `json:"outcome"`
		Height      string `json:"height"`
		Stopped     string `json:"stopped,omitempty"`
		Differs     string `json:"differs,omitempty"`
		Uncommitted int    `json:"uncommitted"`
		Evidence    int    `json:"evidence"`
		Old         string `json:"old,omitempty"`
	}{string(r.Outcome), number(r.Height), r.Stopped, r.Differs, r.Uncommitted, r.Evidence, r.Old}
	return c.print(result, func(w *bytes.Buffer) {
		switch r.Outcome {
		case node.DatabaseWhole:
			fmt.Fprintf(w, "The database is whole up to height %d. Nothing was changed.\n", r.Height)
			return
		case node.RepairFinished:
			fmt.Fprintf(w, "A repair that was cut short is finished: the database is whole up to height %d.\n", r.Height)
			return
		default:
			fmt.Fprintf(w, "The database is repaired up to height %d. The node fetches what is missing when it starts.\n\n", r.Height)
		}
		printRows(w, row{"what was wrong", r.Differs}, row{"why no further", r.Stopped}, row{"the damaged one", r.Old})
	})
}
