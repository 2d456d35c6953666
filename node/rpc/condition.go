package rpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
)

const (
	// stalledAfter is how many expiries of the round's timer, rebroadcasts counted, without a new certificate make a
	// chain that is stalled. An idle chain has none.
	stalledAfter = 3
	// syncingFrom is how many heights a node is behind when it no longer counts as caught up.
	syncingFrom = 5
)

// condition says whether the node is fit to serve.
type condition struct {
	ready   bool
	reasons []string                // why not, in words
	missing []consensus.ValidatorID // of whom nothing is heard in a round that has expired
}

func (s *Server) condition() condition {
	var c condition
	status := s.cfg.Status()
	if s.isStopping() {
		c.reasons = append(c.reasons, "the node is stopping")
	}
	if s.isListener() {
		c.reasons = append(c.reasons, s.notFollowing()...)
		c.ready = len(c.reasons) == 0
		return c
	}
	if status == nil {
		c.reasons = append(c.reasons, "the node is starting")
		return c
	}
	if reason := s.cfg.DiskLow(); reason != "" {
		c.reasons = append(c.reasons, reason)
	}
	if reason := s.disconnected(); reason != "" {
		c.reasons = append(c.reasons, reason)
	}
	if target := s.target(status); s.isBehind(target) {
		c.reasons = append(c.reasons, fmt.Sprintf("catching up: at height %d of %d", s.store.Tip().Height, target))
	}
	switch {
	case status.Silent:
		c.reasons = append(c.reasons, "this key signs elsewhere too: the node signs nothing any more")
	case status.Listening:
		c.reasons = append(c.reasons, "listening: too few others were heard since the start, so the node signs nothing yet")
	}
	if status.Expiries > 0 {
		c.missing = s.missing(status)
	}
	if status.Expiries >= stalledAfter {
		reason := fmt.Sprintf("stalled in round %d: its timer expired %d times without a new certificate", status.Round, status.Expiries)
		if len(c.missing) > 0 {
			reason += "; nothing heard from " + s.names(c.missing)
		}
		c.reasons = append(c.reasons, reason)
	}
	c.ready = len(c.reasons) == 0
	return c
}

// notFollowing says why a listener is not fit to serve.
func (s *Server) notFollowing() (reasons []string) {
	f, height := s.cfg.Upstream.Status(), s.store.Tip().Height
	if f.Upstream == "" {
		reasons = append(reasons, "no upstream can be followed at present")
	}
	if f.Unchecked > 0 {
		reasons = append(reasons, fmt.Sprintf("below the trusted checkpoint: at height %d of %d", height, f.Unchecked))
	}
	if f.IsBehind(height) {
		reasons = append(reasons, fmt.Sprintf("catching up: at height %d of %d", height, f.Target))
	}
	return reasons
}

// disconnected says that the node and those it is connected with are no quorum, if so.
func (s *Server) disconnected() string {
	set := s.genesis.Validators
	connected := s.connected()
	power := set.PowerOf(s.cfg.Self)
	var lacking []consensus.ValidatorID
	for _, v := range set.Members() {
		switch {
		case v.ID == s.cfg.Self:
		case slices.Contains(connected, v.ID):
			power += v.Power
		default:
			lacking = append(lacking, v.ID)
		}
	}
	if power >= set.QuorumPower() {
		return ""
	}
	return fmt.Sprintf("no quorum: connected with power %d of %d, itself included, where %d is needed; not connected with %s",
		power, set.TotalPower(), set.QuorumPower(), s.names(lacking))
}

// connected lists the validators that the node is connected with, itself left out.
func (s *Server) connected() (ids []consensus.ValidatorID) {
	for _, p := range s.cfg.Peers() {
		if p.Connected && p.ID != s.cfg.Self && s.genesis.Validators.Contains(p.ID) && !slices.Contains(ids, p.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// missing lists the validators of whom neither a timeout nor, before the first timeout of the round, a vote is here.
func (s *Server) missing(status *engine.Status) (ids []consensus.ValidatorID) {
	heard := status.Timeouts
	if len(heard) == 0 {
		heard = status.Voters
	}
	for _, v := range s.genesis.Validators.Members() {
		if !slices.Contains(heard, v.ID) {
			ids = append(ids, v.ID)
		}
	}
	return ids
}

// target is the height that a quorum has committed, or that is being fetched: the node should have it.
func (s *Server) target(status *engine.Status) consensus.Height {
	target := status.Fetching.Height
	if status.CommitQC != nil {
		target = max(target, status.CommitQC.Commit().Height)
	}
	return target
}

func (s *Server) isBehind(target consensus.Height) bool {
	return target > s.store.Tip().Height+syncingFrom
}

func (s *Server) names(ids []consensus.ValidatorID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		v, _ := s.genesis.Validators.Get(id)
		names[i] = v.Name
	}
	return strings.Join(names, ", ")
}

// Ready reports whether the node is fit to serve, and why not: what GetStatus and the health service say.
func (s *Server) Ready() (ready bool, reasons []string) {
	c := s.condition()
	return c.ready, c.reasons
}
