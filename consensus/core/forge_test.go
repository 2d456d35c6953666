package core_test

import (
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// forged sends a message of a Byzantine validator to the nodes of to=…, to all by default.
func (s *script) forged(from *node, m message) string {
	if !from.byzantine {
		s.Fatalf(s.t, "%s is not Byzantine", from.name)
	}
	to := s.nodes("to")
	for _, n := range s.cluster.nodes {
		if n == from || (len(to) > 0 && !contains(to, n.index)) {
			continue
		}
		one := m
		one.from, one.to = from.index, n.index
		if one.sync == nil {
			one.sync = s.theSync().Encode()
		}
		s.cluster.post(&one)
	}
	return ""
}

func contains(list []int, i int) bool {
	for _, v := range list {
		if v == i {
			return true
		}
	}
	return false
}

// theSync is the sync info beside a forged message: high=b3 tc=4 commit=b2, by default of genesis.
func (s *script) theSync() *consensus.SyncInfo {
	out := &consensus.SyncInfo{HighQC: s.theQC("high")}
	if s.value("hightc", "") != "" {
		out.TC = s.cluster.oracle.tcs[consensus.Round(s.number("hightc", 0))]
	}
	if s.value("commit", "") != "" {
		out.CommitQC = s.theQC("commit")
	}
	return out
}

// forgers are the Byzantine validators when they are a quorum, else all.
func (s *script) forgers() []int {
	var who []int
	power := consensus.Power(0)
	for i, n := range s.cluster.nodes {
		if n.byzantine {
			who = append(who, i)
			power += s.cluster.committee.Set.At(i).Power
		}
	}
	if power < s.cluster.committee.Set.QuorumPower() {
		return s.cluster.committee.All()
	}
	return who
}

// theQC returns the known certificate of a block, made on the spot by the forgers when "forge" is asked for.
func (s *script) theQC(key string) *consensus.QC {
	label := s.value(key, "genesis")
	for id, name := range s.cluster.oracle.labels {
		if name != label {
			continue
		}
		if qc := s.cluster.oracle.qcs[id]; qc != nil {
			return qc
		}
		if s.HasArg("forge") {
			qc := s.cluster.committee.QC(s.cluster.committee.Data(s.cluster.oracle.byLabel[label]), s.forgers()...)
			s.cluster.oracle.seeQC(qc)
			return qc
		}
	}
	s.Fatalf(s.t, "no certificate of %s=%q is known", key, label)
	return nil
}

func (s *script) theBlock(label string) *consensus.Block {
	b := s.cluster.oracle.byLabel[label]
	if b == nil {
		s.Fatalf(s.t, "no block %q", label)
	}
	return b
}

// proposal from=d round=3 on=b2 [tc=2] [tx=(x,y)] [ahead=1s] [proposer=d] [to=…] [high=… hightc=…] [keep]: a block
// and its proposal. With keep it is only made, not sent.
func (s *script) forgeProposal() string {
	from := s.cluster.node(s.value("from", ""))
	round := consensus.Round(s.number("round", 0))
	b := s.cluster.committee.Block(s.theQC("on"), round, func(h *consensus.Header) {
		h.Proposer = from.id
		if now := consensus.Timestamp(s.cluster.now.UnixMilli()); now > h.Timestamp {
			h.Timestamp = now
		}
		h.Timestamp += consensus.Timestamp(s.duration("ahead", 0) / time.Millisecond)
		if s.HasArg("noskip") {
			h.Failed = nil
		}
	}, s.list("tx")...)
	var tc *consensus.TC
	if s.value("tc", "") != "" {
		if tc = s.cluster.oracle.tcs[consensus.Round(s.number("tc", 0))]; tc == nil {
			s.Fatalf(s.t, "no such TC is known")
		}
	}
	s.cluster.oracle.seeBlock(b)
	s.cluster.oracle.proposed[b.ID()] = append(s.cluster.oracle.proposed[b.ID()], tc)
	p := from.identity().Proposal(&consensus.Proposal{Block: b, TC: tc}).Get()
	if !s.HasArg("keep") {
		s.forged(from, message{kind: "proposal", round: round, body: p.Encode()})
	}
	return fmt.Sprintf("made %s on %s%s\n", s.cluster.oracle.label(b.ID()), s.cluster.oracle.label(b.Parent), payload(b))
}

// vote from=d block=b3 [bad] [to=…]: bad names another state root.
func (s *script) forgeVote() string {
	from := s.cluster.node(s.value("from", ""))
	data := s.cluster.committee.Data(s.theBlock(s.value("block", "")))
	if s.HasArg("bad") {
		data.Block.StateRoot[0] ^= 0xff
	}
	if r := s.number("round", 0); r != 0 {
		data.Block.Round = consensus.Round(r)
		data.Commit = consensus.BlockInfo{}
	}
	v := from.identity().Vote(&consensus.Vote{Data: data}).Get()
	return s.forged(from, message{kind: "vote", round: v.Round(), body: v.Encode()})
}

// timeout from=d round=5 qc=b3 [tc=4] [claims=b2] [to=…]: claims is the QC whose round is signed, instead of qc.
func (s *script) forgeTimeout() string {
	from := s.cluster.node(s.value("from", ""))
	draft := &consensus.Timeout{Round: consensus.Round(s.number("round", 0)), QC: s.theQC("qc")}
	if s.value("tc", "") != "" {
		draft.TC = s.cluster.oracle.tcs[consensus.Round(s.number("tc", 0))]
	}
	carried := draft.QC
	if s.value("claims", "") != "" {
		draft.QC = s.theQC("claims")
	}
	t := from.identity().Timeout(draft).Get()
	t.QC = carried
	return s.forged(from, message{kind: "timeout", round: t.Round, body: t.Encode()})
}

// sync from=d high=b3 [commit=b2] [hightc=4] [forge] [to=…]: sync info alone. With forge all validators sign a missing
// certificate.
func (s *script) forgeSync() string {
	return s.forged(s.cluster.node(s.value("from", "")), message{kind: "sync", round: s.theSync().Round()})
}

// serve node=d blocks=(b1,b2): how a Byzantine node answers its next fetch.
func (s *script) serve() string {
	n := s.theNode()
	var blocks []*consensus.Block
	for _, label := range s.list("blocks") {
		blocks = append(blocks, s.theBlock(label))
	}
	n.answers = append(n.answers, blocks)
	return ""
}

// certify block=b1 by=abd: the Byzantine nodes put a certificate together from votes that were cast, and keep it.
func (s *script) certify() string {
	b := s.theBlock(s.value("block", ""))
	for _, i := range s.nodes("by") {
		n := s.cluster.nodes[i]
		if _, voted := s.cluster.oracle.wire[fmt.Sprintf("vote/%s/%d", n.name, b.Round)]; !voted && !n.byzantine {
			s.Fatalf(s.t, "%s did not vote in round %d", n.name, b.Round)
		}
	}
	s.cluster.oracle.seeQC(s.cluster.committee.QC(s.cluster.committee.Data(b), s.nodes("by")...))
	return ""
}
