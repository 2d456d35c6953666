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

func (c *cli) evidenceCommand() *cobra.Command {
	limit := 0
	cmd := &cobra.Command{
		Use: "evidence", Short: "List the validators that a node has caught signing twice", Args: noArgs(),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many pieces at most, the newest rounds first; 0: all")
	n := c.addConnection(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 {
			return usagef("--limit %d is negative", limit)
		}
		return n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			found := &cairnv1.ListEvidenceResponse{}
			for e, err := range node.Evidence(ctx) {
				if err != nil {
					return err
				}
				if found.Evidence = append(found.Evidence, e); len(found.Evidence) == limit {
					break
				}
			}
			if c.format == formatJSON {
				return c.print(found, nil)
			}
			set, err := node.Validators(ctx)
			if err != nil {
				return err
			}
			return c.print(found, func(w *bytes.Buffer) { printEvidence(w, found.GetEvidence(), validatorNames(set)) })
		})
	}
	return cmd
}

func printEvidence(w *bytes.Buffer, evidence []*cairnv1.Evidence, validators names) {
	if len(evidence) == 0 {
		fmt.Fprintln(w, "this node has found no evidence")
		return
	}
	table := [][]string{{"ROUND", "SIGNED TWICE", "VALIDATOR", "SEEN", "ID"}}
	for _, e := range evidence {
		table = append(table, []string{
			number(e.GetRound()), strings.ToLower(e.GetKind().String()), validators.of(e.GetValidator()),
			time.UnixMilli(e.GetSeenTime()).UTC().Format("2006-01-02 15:04:05.000 UTC"), e.GetId(),
		})
	}
	printTable(w, table)
}
