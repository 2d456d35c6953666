package core_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// oracle watches everything that leaves a node and judges it by its own reading of the protocol: no predicate of the
// production code is used. It knows all blocks and certificates that ever existed.
type oracle struct {
	c         *cluster
	blocks    map[consensus.Hash]*consensus.Block
	labels    map[consensus.Hash]string
	byLabel   map[string]*consensus.Block
	qcs       map[consensus.Hash]*consensus.QC // by certified block
	certified map[consensus.Round]consensus.VoteData
	tcs       map[consensus.Round]*consensus.TC
	proposed  map[consensus.Hash][]*consensus.TC // the TCs that a block was proposed with; nil for none
	wire      map[string][]byte                  // what an honest key signed: kind, key and round to content
	committed map[consensus.Height]consensus.BlockInfo
	direct    map[consensus.Hash]bool                       // those that a certificate names
	durable   map[*node]safety.State                        // the newest saved state
	timedOut  map[*node]consensus.Round                     // the highest round of a timeout that left
	locked    map[*node]consensus.Round                     // by the votes that left, as three_chain counts it
	accused   map[*core.Core]map[consensus.EvidenceKey]bool // by each core
	fork      bool                                          // the test forges more than a third: certificates may conflict
	checks    map[string]int                                // how often each check had something to check
}

func newOracle(c *cluster) *oracle {
	o := &oracle{
		c: c, blocks: map[consensus.Hash]*consensus.Block{}, labels: map[consensus.Hash]string{},
		byLabel: map[string]*consensus.Block{}, qcs: map[consensus.Hash]*consensus.QC{}, tcs: map[consensus.Round]*consensus.TC{}, certified: map[consensus.Round]consensus.VoteData{},
		proposed: map[consensus.Hash][]*consensus.TC{}, wire: map[string][]byte{},
		committed: map[consensus.Height]consensus.BlockInfo{}, direct: map[consensus.Hash]bool{}, durable: map[*node]safety.State{}, timedOut: map[*node]consensus.Round{}, locked: map[*node]consensus.Round{}, accused: map[*core.Core]map[consensus.EvidenceKey]bool{}, checks: map[string]int{},
	}
	o.labels[c.committee.Root.ID] = "genesis"
	o.seeQC(c.committee.GenesisQC())
	o.committed[0] = c.committee.Root
	return o
}

func (o *oracle) fail(format string, args ...any) {
	o.c.t.Helper()
	o.c.t.Fatalf("oracle: at %v: %s\n%s", o.c.now.Sub(start), fmt.Sprintf(format, args...), o.c.log.tail())
}

// label names a block by its round: b3, and b3', b3” for further ones of that round.
func (o *oracle) label(id consensus.Hash) string {
	if name, ok := o.labels[id]; ok {
		return name
	}
	return id.Short()
}

func (o *oracle) seeBlock(b *consensus.Block) {
	if _, ok := o.blocks[b.ID()]; ok {
		return
	}
	o.blocks[b.ID()] = b
	o.c.committee.Know(b)
	name := fmt.Sprintf("b%d", b.Round)
	for o.byLabel[name] != nil {
		name += "'"
	}
	o.labels[b.ID()], o.byLabel[name] = name, b
	o.seeQC(b.QC)
}

// seeQC: in one round at most one outcome of one block is certified.
func (o *oracle) seeQC(qc *consensus.QC) {
	if qc == nil {
		return
	}
	if !o.fork {
		if known, ok := o.certified[qc.Data.Block.Round]; ok && known != qc.Data {
			o.fail("two certificates of round %d: %v and %v", qc.Round(), known, qc.Data)
		}
	}
	o.certified[qc.Data.Block.Round] = qc.Data
	o.certifiedAgainst(qc)
	if o.qcs[qc.Block().ID] == nil {
		o.qcs[qc.Block().ID] = qc
	}
}

func (o *oracle) seeTC(tc *consensus.TC) {
	if tc == nil {
		return
	}
	o.seeQC(tc.HighQC)
	if o.tcs[tc.Round] == nil {
		o.tcs[tc.Round] = tc
	}
}

// effects checks a whole Effects before it is carried out.
func (o *oracle) effects(n *node, e core.Effects) {
	for _, note := range e.Notes {
		switch note := note.(type) {
		case core.QCFormed:
			o.seeQC(note.QC)
			if o.tcs[note.QC.Round()] != nil {
				o.checks["QC after TC"]++
			}
		case core.TCFormed:
			o.checks["TC"]++
			o.seeTC(note.TC)
		case core.Equivocation:
			o.checks["equivocation seen"]++
			if _, err := o.c.verifier().Evidence(note.Evidence); err != nil {
				o.fail("%s accuses %s, and proves nothing: %v", n.name, o.c.nameOf(note.Signer), err)
			}
			if known := o.accused[n.core][note.EvidenceKey]; known {
				o.fail("%s accuses %s twice of one thing: %v", n.name, o.c.nameOf(note.Signer), note.Evidence)
			}
			if o.accused[n.core] == nil {
				o.accused[n.core] = map[consensus.EvidenceKey]bool{}
			}
			o.accused[n.core][note.EvidenceKey] = n.core != nil // nil: it is being made
			if !o.c.nodeOf(note.Signer).byzantine && !o.fork {
				o.fail("%s accuses the honest %s: %+v", n.name, o.c.nameOf(note.Signer), note)
			}
		case core.FetchEnded:
			if note.Blocks > 0 {
				o.checks["fetch"]++
			}
		case core.RoundEntered:
			o.entered(n, note)
		case core.Committed:
			if !slices.ContainsFunc(e.Commit, func(c core.Commit) bool {
				return c.Info == note.Info && len(c.Block.Payload) == note.Transactions
			}) {
				o.fail("%s notes the commit of %v with %d transactions, which it does not commit", n.name, note.Info, note.Transactions)
			}
		case core.ProposalSigned:
			o.seeBlock(note.Block)
		default: // only for the transcript
		}
	}
	if e.Timer != nil && e.Timer.At.IsZero() {
		o.fail("%s arms the timer for no time", n.name)
	}
	if e.Halt == nil && e.Timer == nil && n.timer.IsZero() && n.core != nil {
		o.fail("%s has no timer: it would sleep for ever", n.name)
	}
	if len(e.Commit) >= 3 {
		o.checks["commits at once ≥ 3"]++
	}
	height := n.disk.root.Height
	for i, commit := range e.Commit {
		height++
		o.commit(n, commit, height)
		if i == len(e.Commit)-1 && commit.Proof.Commit().Height == height && commit.Proof.Commit() != commit.Info {
			o.fail("%s commits %v under a proof of %v", n.name, commit.Info, commit.Proof.Commit())
		}
	}
}

// entered: a round is entered because of a certificate of the round before.
func (o *oracle) entered(n *node, e core.RoundEntered) {
	o.checks["entered"]++
	if n.core == nil {
		return // recovering: what it rests on is checked when it is used
	}
	if _, ok := o.certified[e.Round-1]; ok && e.Reason == core.ByQC {
		return
	}
	if tc := o.tcs[e.Round-1]; e.Reason == core.ByTC && tc != nil {
		return
	}
	o.fail("%s enters round %d by a %s that does not exist", n.name, e.Round, e.Reason)
}

// commit: in order, once, executed, agreed by all, under a valid proof.
func (o *oracle) commit(n *node, c core.Commit, height consensus.Height) {
	o.checks["commit"]++
	if c.Info.Height != height || c.Block.Height != height || c.Info.ID != c.Block.ID() {
		o.fail("%s commits %v at height %d", n.name, c.Info, height)
	}
	if executed, ok := n.executed[c.Info.ID]; !ok || executed != c.Info {
		o.fail("%s commits %s, which it did not execute so", n.name, o.label(c.Info.ID))
	}
	if known, ok := o.committed[height]; ok && known != c.Info && !o.fork {
		o.fail("%s commits %v, another %v", n.name, c.Info, known)
	}
	if before, ok := o.committed[height-1]; ok && before.ID != c.Block.Parent && !o.fork {
		o.fail("%s commits %v, whose parent is not the committed %v", n.name, c.Info, before)
	}
	o.committed[height] = c.Info
	o.direct[c.Proof.Commit().ID] = true
	v := o.c.verifier()
	for _, qc := range []*consensus.QC{c.QC, c.Proof} {
		if _, err := v.QC(qc); err != nil {
			o.fail("%s commits under %v: %v", n.name, qc, err)
		}
	}
	if p := c.Proof; p.Commit().IsNone() || p.Commit().Height < height || !o.isChain(p) {
		o.fail("%s commits %v under %v, which commits %v", n.name, c.Info, p, p.Commit())
	}
	if c.QC.Block() != c.Info && c.QC != c.Proof {
		o.fail("%s commits %v with the certificate of %v", n.name, c.Info, c.QC.Block())
	}
}

// isChain reports whether the certificate's block is as many blocks and as many rounds above the commit as the rule wants,
// read off the blocks themselves.
func (o *oracle) isChain(qc *consensus.QC) bool {
	b := o.blocks[qc.Block().ID]
	for range o.length() - 1 {
		if b == nil || b.QC.Data.Block.ID != b.Parent || b.Round != b.QC.Data.Block.Round+1 {
			return false
		}
		id := b.Parent
		if b = o.blocks[id]; id == qc.Commit().ID {
			return qc.Round() == qc.Commit().Round+o.length()-1
		}
	}
	return false
}

// length is how many blocks in a row the chain's rule commits one of.
func (o *oracle) length() consensus.Round {
	if o.c.committee.Genesis.Rule == consensus.ThreeChain {
		return 3
	}
	return 2
}

// certifiedAgainst: nothing is certified above the chain that commits a block, unless it descends from that block.
func (o *oracle) certifiedAgainst(qc *consensus.QC) {
	b := o.blocks[qc.Block().ID]
	if b == nil || o.fork {
		return
	}
	for h := consensus.Height(len(o.committed) - 1); h > 0; h-- {
		if info := o.committed[h]; o.direct[info.ID] && info.Round+o.length()-1 < b.Round {
			o.checks["certified above a commit"]++
			if !o.extends(b, info.ID) {
				o.fail("%s is certified against the committed %v", o.label(b.ID()), info)
			}
			return
		}
	}
}

// saved: what a node remembers never goes back.
func (o *oracle) saved(n *node) {
	s, before := n.disk.state(), o.durable[n]
	if s.LastVoted < before.LastVoted || s.Locked < before.Locked || s.LastProposed < before.LastProposed {
		o.fail("%s forgets what it signed: %+v after %+v", n.name, s, before)
	}
	o.durable[n] = s
}

// leaves checks a message of a node, signed already, at the moment it leaves.
func (o *oracle) leaves(n *node, m *message, e core.Envelope) {
	o.seeCertificates(e.Sync)
	if e.Proposal == nil { // whoever votes for it stores them
		o.certificatesDurable(n, e.Sync)
	}
	state := n.disk.state()
	switch m.kind {
	case "proposal":
		o.proposal(n, m, e.Proposal)
		if state.LastProposal != e.Proposal.Block.ID() || state.LastProposed != m.round {
			o.fail("%s sends a proposal that is not saved", n.name)
		}
	case "vote":
		if state.LastVote == nil || !bytes.Equal(state.LastVote.Encode(), e.Vote.Encode()) || state.LastVoted < m.round {
			o.fail("%s sends a vote that is not saved", n.name)
		}
		o.vote(n, e.Vote)
	case "timeout":
		if state.LastTimeout == nil || !bytes.Equal(state.LastTimeout.Encode(), e.Timeout.Encode()) || state.LastVoted < m.round {
			o.fail("%s sends a timeout that is not saved", n.name)
		}
		o.timeout(n, e.Timeout)
		if v := e.Timeout.Vote; v != nil {
			o.vote(n, v)
		}
	default:
		return
	}
	if !n.isValidator() {
		o.fail("%s is no validator and signs a %s", n.name, m.kind)
	}
	o.signedOnce(n, m.kind, m.round, m.body)
}

// echoed: only what a node signed is repeated to it, for the same signature.
func (o *oracle) echoed(m *message) {
	o.checks["echoed"]++
	to := o.c.nodes[m.to]
	if to.byzantine {
		return
	}
	if _, ok := o.wire[fmt.Sprintf("%s/%s/%d", m.kind, to.name, m.round)]; !ok {
		o.fail("a %s of round %d is repeated to %s, which never sent one", m.kind, m.round, to.name)
	}
}

// signedOnce: a key signs one content per kind and round, and repeats it byte for byte.
func (o *oracle) signedOnce(n *node, kind string, round consensus.Round, content []byte) {
	o.checks["signed once"]++
	key := fmt.Sprintf("%s/%s/%d", kind, n.name, round)
	if known, ok := o.wire[key]; ok {
		o.checks["resent"]++
		if !bytes.Equal(known, content) {
			o.fail("%s signs two different messages: %s of round %d", n.name, kind, round)
		}
	}
	o.wire[key] = content
}

func (o *oracle) seeCertificates(s *consensus.SyncInfo) {
	o.seeQC(s.HighQC)
	o.seeQC(s.CommitQC)
	o.seeTC(s.TC)
}

// certificatesDurable: nothing may rest on a certificate that a crash would lose.
func (o *oracle) certificatesDurable(n *node, s *consensus.SyncInfo) {
	var high, tc consensus.Round
	for _, raw := range [][]byte{n.disk.highQC, n.disk.proof} {
		if raw != nil {
			high = max(high, must(consensus.DecodeQC(raw)).Round())
		}
	}
	if n.disk.highTC != nil {
		tc = must(consensus.DecodeTC(n.disk.highTC)).Round
	}
	if s.HighQC.Round() > high || (s.TC != nil && s.TC.Round > tc) {
		o.fail("%s sends certificates of rounds %v that are not saved: QC %d, TC %d", n.name, s, high, tc)
	}
}

func (o *oracle) proposal(n *node, m *message, p *consensus.Proposal) {
	b := p.Block
	o.seeBlock(b)
	o.proposed[b.ID()] = append(o.proposed[b.ID()], p.TC)
	if b.Proposer != n.id || b.Round != m.round {
		o.fail("%s proposes %v for another", n.name, b)
	}
	if b.Timestamp <= b.QC.Block().Timestamp {
		o.fail("%s proposes %v, not younger than its parent", n.name, b)
	}
}

// vote: the paper's rule for voting, from the proposals that were seen; the block's payload is durable; and nobody votes
// against what is committed.
func (o *oracle) vote(n *node, v *consensus.Vote) {
	o.checks["vote"]++
	b := o.blocks[v.Data.Block.ID]
	if b == nil || n.disk.blocks[b.ID()] == nil {
		o.fail("%s votes for %v, which is not saved", n.name, v.Data.Block)
	}
	if info, ok := n.executed[b.ID()]; ok && info != v.Data.Block {
		o.fail("%s votes for an outcome that is not its own", n.name)
	}
	if leader := o.c.committee.LeaderOn(b.Parent, b.Round); b.Proposer != o.c.committee.ID(leader) {
		o.fail("%s votes for %s, and %s leads", n.name, o.label(b.ID()), o.c.committee.Set.At(leader).Name)
	}
	if least, most := o.c.committee.FailedOn(b.Parent, b.Round, b.Timestamp); !consensustest.MayFail(b.Failed, least, most) {
		o.fail("%s votes for %s, in which %x failed; it may be %x to %x", n.name, o.label(b.ID()), b.Failed, least, most)
	}
	if len(b.Failed) > 0 {
		o.checks["vote with failed leaders"]++
	}
	plain := core.RoundRobin(o.c.committee.Set, o.c.committee.Genesis.ContiguousRounds)
	if b.Proposer != plain.Leader(b.Round, core.Tip{}) {
		o.checks["passed over"]++
	}
	three := o.length() == 3
	allowed := b.Round == b.QC.Round()+1
	for _, tc := range o.proposed[b.ID()] {
		allowed = allowed || (tc != nil && tc.Round+1 == b.Round && (three || b.QC.Round() >= tc.HighQC.Round()))
	}
	if !allowed {
		o.fail("%s votes for %s without a reason", n.name, o.label(b.ID()))
	}
	if three && b.QC.Round() < o.locked[n] {
		o.fail("%s votes for %s on round %d, and has locked %d", n.name, o.label(b.ID()), b.QC.Round(), o.locked[n])
	}
	o.locked[n] = max(o.locked[n], b.QC.Data.Parent.Round)
	o.notAgainst(n, b)
	if _, again := o.wire[fmt.Sprintf("vote/%s/%d", n.name, b.Round)]; !again && b.Round <= o.timedOut[n] && !o.durableVote(n, v) {
		o.fail("%s votes in round %d, after its timeout of round %d", n.name, b.Round, o.timedOut[n])
	}
}

// durableVote reports whether a vote was saved before the newest timeout: then it may leave after it, inside it too.
func (o *oracle) durableVote(n *node, v *consensus.Vote) bool {
	t := n.disk.state().LastTimeout
	return t != nil && t.Vote != nil && t.Vote.Data == v.Data
}

// notAgainst: once a quorum has voted in round r+1 and so locked the block of round r, nobody votes for what does not
// descend from it in any round above. (In round r+1 itself, or for a block that is committed only through a later
// descendant, a late voter may.) Under three_chain those alone are bound who voted in round r+2; that the others are too
// few to certify anything is for certifiedAgainst to see.
func (o *oracle) notAgainst(n *node, b *consensus.Block) {
	for h := consensus.Height(len(o.committed) - 1); h > 0 && !o.fork; h-- {
		if info := o.committed[h]; o.direct[info.ID] && info.Round+o.length()-1 < b.Round {
			if o.length() == 3 && !o.votedFor(n, info) {
				return
			}
			o.checks["vote above a commit"]++
			if !o.extends(b, info.ID) {
				o.fail("%s votes for %s against the committed %v", n.name, o.label(b.ID()), info)
			}
			return
		}
	}
}

// votedFor reports whether a node's vote is among those that committed a block directly.
func (o *oracle) votedFor(n *node, committed consensus.BlockInfo) bool {
	raw := o.wire[fmt.Sprintf("vote/%s/%d", n.name, committed.Round+2)]
	return raw != nil && must(consensus.DecodeVote(raw)).Data.Commit == committed
}

// extends reports whether the block has this ancestor.
func (o *oracle) extends(b *consensus.Block, ancestor consensus.Hash) bool {
	for b != nil {
		if b.ID() == ancestor || b.Parent == ancestor {
			return true
		}
		b = o.blocks[b.Parent]
	}
	return false
}

// timeout: the paper's rule for timeouts.
func (o *oracle) timeout(n *node, t *consensus.Timeout) {
	o.checks["timeout"]++
	o.timedOut[n] = max(o.timedOut[n], t.Round)
	byQC := t.Round == t.QC.Round()+1
	byTC := t.TC != nil && t.Round == t.TC.Round+1
	locked := n.disk.state().Locked
	bound := t.QC.Round() < locked
	if o.length() == 3 {
		bound = t.Round <= max(locked, o.locked[n])
	}
	if byQC == byTC || bound {
		o.fail("%s signs a timeout of round %d with %v, TC %v", n.name, t.Round, t.QC, t.TC)
	}
}

// finish: the committed blocks are one chain without a gap, and no work is in it twice.
func (o *oracle) finish() {
	seen := map[string]bool{}
	for h := consensus.Height(1); int(h) < len(o.committed); h++ {
		info, ok := o.committed[h]
		if !ok {
			o.fail("nothing was committed at height %d", h)
		}
		b := o.blocks[info.ID]
		if b.Parent != o.committed[h-1].ID || b.Round <= o.committed[h-1].Round {
			o.fail("the committed %v does not follow %v", b, o.committed[h-1])
		}
		for _, tx := range b.Payload {
			if seen[string(tx)] && !strings.HasPrefix(string(tx), "evil") {
				o.fail("%s is committed twice", tx)
			}
			seen[string(tx)] = true
		}
	}
}
