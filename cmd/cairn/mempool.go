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

func (c *cli) mempoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mempool", Short: "Show how full a node's mempool is, and how far the others have what it holds", Args: noArgs(),
	}
	n := c.addConnection(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			status, err := node.Mempool(ctx)
			if err != nil {
				return err
			}
			return c.print(status, func(w *bytes.Buffer) { printMempool(w, status) })
		})
	}
	return cmd
}

func printMempool(w *bytes.Buffer, s *cairnv1.MempoolStatus) {
	l := s.GetLimits()
	oldest, fee := "", "any"
	if s.GetOldestAge() != nil {
		oldest = fmt.Sprintf("%v, of at most %v", s.GetOldestAge().AsDuration().Round(100*time.Millisecond), l.GetTimeToLive().AsDuration())
	}
	if s.GetTransactions() >= l.GetTransactions() || s.GetMinimumFeeRate() > 0 {
		fee = fmt.Sprintf("above %.4g base units per byte: it is full", s.GetMinimumFeeRate())
	}
	var refusals []string
	for _, r := range s.GetRefusals() {
		refusals = append(refusals, fmt.Sprintf("%s %d", r.GetReason(), r.GetCount()))
	}
	printRows(w,
		row{"transactions", fmt.Sprintf("%d of at most %d", s.GetTransactions(), l.GetTransactions())},
		row{"bytes", fmt.Sprintf("%d of at most %d", s.GetBytes(), l.GetBytes())},
		row{"ready", number(s.GetReady())}, row{"parked", number(s.GetParked())},
		row{"accounts", fmt.Sprintf("%d, each with at most %d", s.GetAccounts(), l.GetAccountTransactions())},
		row{"oldest", oldest}, row{"fee to get in", fee}, row{"refused", strings.Join(refusals, ", ")})
	if len(s.GetSharing()) == 0 {
		return
	}
	table := [][]string{{"VALIDATOR", "CONNECTED", "BEHIND", "IN FLIGHT", "RESENT"}}
	for _, share := range s.GetSharing() {
		table = append(table, []string{
			share.GetValidatorId(), fmt.Sprint(share.GetConnected()), number(share.GetBehind()), number(share.GetInFlight()),
			number(share.GetResent()),
		})
	}
	fmt.Fprintln(w)
	printTable(w, table)
}
