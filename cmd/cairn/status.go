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

func (c *cli) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show how a node fares and, when nothing commits, why", Args: noArgs(),
	}
	n := c.addConnection(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			status, err := node.Status(ctx)
			if err != nil {
				return err
			}
			if c.format == formatJSON {
				return c.print(status, nil)
			}
			set, err := node.Validators(ctx)
			if err != nil {
				return err
			}
			chain, err := node.Chain(ctx)
			if err != nil {
				return err
			}
			sync, err := node.SyncStatus(ctx)
			if err != nil {
				return err
			}
			return c.print(status, func(w *bytes.Buffer) {
				printStatus(w, chain, status, validatorNames(set))
				printUpstream(w, status, sync)
				printSync(w, sync, validatorNames(set))
			})
		})
	}
	return cmd
}

// names tells the names of validators by their ids.
type names map[string]string

func validatorNames(set *cairnv1.ValidatorSet) names {
	out := names{}
	for _, v := range set.GetValidators() {
		out[v.GetId()] = v.GetName()
	}
	return out
}

// of is the name of a validator with the beginning of its id, or the id when it has no name.
func (n names) of(id string) string {
	if name := n[id]; name != "" {
		return fmt.Sprintf("%s (%.8s)", name, id)
	}
	return id
}

// moment shows Unix milliseconds.
func moment(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("2006-01-02 15:04:05.000 UTC")
}

func printStatus(w *bytes.Buffer, chain *cairnv1.Chain, s *cairnv1.NodeStatus, validators names) {
	committed := "not since it was started"
	if t := s.GetLastCommitTime(); t != 0 {
		committed = moment(t)
	}
	ready := "yes"
	if !s.GetReady() {
		ready = "no"
	}
	rows := []row{
		{"node", fmt.Sprintf("%s, %s, version %s", s.GetName(), strings.ToLower(s.GetRole().String()), s.GetVersion())},
		{"chain", chain.GetChainId()},
		{"height", fmt.Sprintf("%d, block %s", s.GetHeight(), s.GetCommittedBlockId())},
		{"last commit", committed},
	}
	listens := s.GetRole() == cairnv1.NodeRole_LISTENER // then it is in no round, and has no peers
	if !listens {
		rows = append(rows, row{"round", fmt.Sprintf("%d of epoch %d, led by %s", s.GetRound(), s.GetEpoch(), validators.of(s.GetLeader()))})
	}
	rows = append(rows, row{"high QC", "round " + number(s.GetHighQcRound())})
	if !listens {
		rows = append(rows, row{"high TC", "round " + number(s.GetHighTcRound())},
			row{"peers", fmt.Sprintf("%d of %d connected", s.GetConnectedPeers(), max(len(validators)-1, 0))})
	}
	printRows(w, append(rows, row{"ready", ready})...)
	for i, reason := range s.GetReasons() {
		label := ""
		if i == 0 {
			label = "because"
		}
		fmt.Fprintf(w, "%-11s  %s\n", label, reason)
	}
	missing := make([]string, len(s.GetMissingVoters()))
	for i, id := range s.GetMissingVoters() {
		missing[i] = validators.of(id)
	}
	if len(missing) != 0 {
		fmt.Fprintf(w, "%-11s  no vote or timeout from %s\n", "missing", strings.Join(missing, ", "))
	}
}

// printUpstream says whom a listener follows, and since when.
func printUpstream(w *bytes.Buffer, s *cairnv1.NodeStatus, sync *cairnv1.SyncStatus) {
	if s.GetRole() != cairnv1.NodeRole_LISTENER {
		return
	}
	text := "nobody at present"
	if u := sync.GetUpstream(); u != nil {
		text = fmt.Sprintf("%s since %s", u.GetAddress(), moment(u.GetSinceTime()))
	}
	fmt.Fprintf(w, "%-11s  %s\n", "follows", text)
}

// printSync says how a node that is behind gets on.
func printSync(w *bytes.Buffer, s *cairnv1.SyncStatus, validators names) {
	if s.GetSynced() {
		return
	}
	text := fmt.Sprintf("height %d of %d", s.GetCurrentHeight(), s.GetTargetHeight())
	if rate := s.GetBlocksPerSecond(); rate > 0 {
		text += fmt.Sprintf(", %.0f blocks/s", rate)
	}
	if eta := s.GetEta(); eta != nil {
		text += fmt.Sprintf(", %v to go", max(eta.AsDuration().Round(time.Second), time.Second))
	}
	from := make([]string, len(s.GetPeers()))
	for i, id := range s.GetPeers() {
		from[i] = validators.of(id)
	}
	if len(from) != 0 {
		text += ", from " + strings.Join(from, ", ")
	}
	fmt.Fprintf(w, "%-11s  %s\n", "catching up", text)
}
