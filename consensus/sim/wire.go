package sim

import (
	"bytes"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// wireLog judges what honest validators put on the wire, by its own reading of the protocol. It outlives crashes: what
// was sent once stays sent. A certificate is judged by the log itself: each signature in it must be one that its signer
// was seen to send, for the very same data.
type wireLog struct {
	w        *world
	round    consensus.Round // the highest seen
	blocks   map[consensus.Hash]*consensus.Block
	heights  map[consensus.Height][]*consensus.Block
	justify  map[consensus.Hash][]*consensus.TC // that a block was proposed with
	signed   map[signedKey][]byte
	votes    map[signedKey]*consensus.Vote
	timeouts map[signedKey]*consensus.Timeout
	signer   map[int]*signedSoFar
	qcs      map[string]bool // judged before and found good, by all their bytes
	tcs      map[string]bool
	same     map[any]bool    // those of them that are the very same in memory, where messages share it
	goodQCs  []*consensus.QC // those with signatures
	goodTCs  []*consensus.TC
	byRound  map[consensus.Round]consensus.VoteData // what is certified in a round
	tcRounds map[consensus.Round]bool
}

type signedKey struct {
	kind  byte // 'p', 'v' or 't'
	who   int
	round consensus.Round
}

// signedSoFar is the order in which one key signed.
type signedSoFar struct{ vote, timeout, proposal, lock consensus.Round }

func newWireLog(w *world) *wireLog {
	return &wireLog{
		w: w, blocks: map[consensus.Hash]*consensus.Block{}, heights: map[consensus.Height][]*consensus.Block{}, justify: map[consensus.Hash][]*consensus.TC{},
		signed: map[signedKey][]byte{}, votes: map[signedKey]*consensus.Vote{},
		timeouts: map[signedKey]*consensus.Timeout{}, signer: map[int]*signedSoFar{},
		qcs: map[string]bool{}, tcs: map[string]bool{}, same: map[any]bool{},
		byRound: map[consensus.Round]consensus.VoteData{}, tcRounds: map[consensus.Round]bool{},
	}
}

// record judges a message that leaves v.
func (l *wireLog) record(v *validator, m *consensus.Message) {
	l.w.trace.line(l.w.now, v.i, "send", m.Kind(), " r", uint64(m.Round()), " ", m.Sync)
	if v.faulty {
		l.witness(v, m)
		return
	}
	if l.signer[v.member] == nil {
		l.signer[v.member] = &signedSoFar{}
	}
	l.qc(m.Sync.HighQC)
	l.qc(m.Sync.CommitQC)
	l.tc(m.Sync.TC)
	if l.echo(v, m) { // another one's signature, which rests on nothing here
		return
	}
	if v.failing && m.Kind() != "sync_info" {
		l.w.fail(failedWrite, "validator %d signs a %s of round %d after its device reported an error", v.i, m.Kind(), m.Round())
	}
	switch {
	case m.Proposal != nil:
		l.proposal(v, m.Proposal)
		l.compact(v, m)
	case m.Vote != nil:
		l.vote(v, m.Vote)
	case m.Timeout != nil:
		l.timeout(v, m.Timeout)
	}
	l.round = max(l.round, m.Round())
}

// echo reports whether the message repeats what another one signed, and fails unless that one was seen to sign it.
func (l *wireLog) echo(v *validator, m *consensus.Message) bool {
	var signer consensus.ValidatorID
	var kind byte
	var content []byte
	switch {
	case m.Proposal != nil:
		id := m.Proposal.Block.ID()
		signer, kind, content = m.Proposal.Block.Proposer, 'p', id[:]
	case m.Vote != nil:
		signer, kind, content = m.Vote.Signer, 'v', m.Vote.Encode()
	case m.Timeout != nil:
		signer, kind, content = m.Timeout.Signer, 't', m.Timeout.Encode()
	default:
		return false
	}
	if signer == v.id {
		return false
	}
	if who := l.w.genesis.Validators.Index(signer); !l.w.isFaulty(signer) && !bytes.Equal(l.signed[signedKey{kind, who, m.Round()}], content) {
		l.w.fail("I5 double sign", "validator %d repeats a message of kind %c in round %d that %d did not send", v.i, kind, m.Round(), who)
	}
	l.w.reach("echo of a " + m.Kind())
	return true
}

// witness remembers what a faulty validator proposes, if anybody may accept it. Nothing it signs is judged.
func (l *wireLog) witness(v *validator, m *consensus.Message) {
	if l.w.twins != nil {
		l.w.twins.saw(l.w, v, m)
	}
	if m.Proposal == nil {
		return
	}
	b, tc := m.Proposal.Block, m.Proposal.TC
	if b.Parent != b.QC.Block().ID { // the id does not cover the QC
		return
	}
	if l.judgeQC(b.QC) != nil || tc != nil && l.judgeTC(tc) != nil {
		return
	}
	l.know(b)
	l.justify[b.ID()] = append(l.justify[b.ID()], tc)
}

// know remembers a proposed block.
func (l *wireLog) know(b *consensus.Block) {
	if l.blocks[b.ID()] != nil {
		return
	}
	l.blocks[b.ID()] = b
	for _, other := range l.heights[b.Height] {
		if other.Parent != b.Parent {
			l.w.reach("fork of depth two")
		}
	}
	l.heights[b.Height] = append(l.heights[b.Height], b)
}

// once reports whether this was never signed before, and fails when something else was: I5.
func (l *wireLog) once(kind byte, v *validator, round consensus.Round, content []byte) bool {
	key := signedKey{kind, v.member, round}
	before, again := l.signed[key]
	if again && !bytes.Equal(before, content) {
		l.w.fail("I5 double sign", "validator %d signed two different messages of kind %c in round %d", v.i, kind, round)
	}
	if again {
		l.w.reach("resent")
		return false
	}
	l.signed[key] = content
	return true
}

func (l *wireLog) proposal(v *validator, p *consensus.Proposal) {
	b, id := p.Block, p.Block.ID()
	l.qc(b.QC)
	l.tc(p.TC)
	l.know(b)
	l.justify[id] = append(l.justify[id], p.TC)
	if !l.justified(b.Round, b.QC, p.TC) || p.TC != nil && p.TC.HighQC.Round() > b.QC.Round() {
		l.w.fail("I8 justified entry", "validator %d proposes round %d on %v with %v", v.i, b.Round, b.QC, p.TC)
	}
	if !l.once('p', v, b.Round, id[:]) {
		return
	}
	if l.signer[v.member].proposal >= b.Round {
		l.w.fail("I5 double sign", "validator %d proposes in round %d after %d", v.i, b.Round, l.signer[v.member].proposal)
	}
	l.signer[v.member].proposal = b.Round
	if len(b.Payload) == 0 {
		l.w.reach("empty block")
	}
	l.durable(v, "proposal", func(d safety.State) bool {
		return d.LastProposed > b.Round || d.LastProposed == b.Round && d.LastProposal == id
	})
}

// justified: a round is entered because of a QC or TC of the round before.
func (l *wireLog) justified(round consensus.Round, qc *consensus.QC, tc *consensus.TC) bool {
	return qc.Round() < round && (qc.Round() == round-1) == (tc == nil) && (tc == nil || tc.Round == round-1)
}

func (l *wireLog) vote(v *validator, vote *consensus.Vote) {
	r, so := vote.Round(), l.signer[v.member]
	key := signedKey{'v', v.member, r}
	if !l.once('v', v, r, vote.Encode()) {
		return
	}
	l.votes[key] = vote
	b := l.blocks[vote.Data.Block.ID]
	if b == nil || b.Round != r || vote.Data.Parent != b.QC.Block() {
		l.w.fail("I8 justified entry", "validator %d votes in round %d for %v, which nobody proposed so", v.i, r, vote.Data)
	}
	l.proposedRight(v, b)
	if r <= so.vote || r <= so.timeout {
		l.w.fail("I5 double sign", "validator %d votes in round %d after a vote in %d and a timeout in %d", v.i, r, so.vote, so.timeout)
	}
	l.safeToVote(v, b)
	so.vote, so.lock = r, max(so.lock, l.locks(b))
	if l.w.cfg.Rule == consensus.TwoChain { // under three_chain one whose vote was not needed for the lock may
		l.w.chain.checkVote(v, b)
	}
	l.durable(v, "vote", func(d safety.State) bool {
		return d.LastVoted >= r && d.Locked >= l.locks(b) && d.LastVote != nil &&
			(d.LastVote.Round() > r || d.LastVote.Data == vote.Data)
	})
	if !l.holds(v, b) {
		l.w.fail("I6 persist before send", "validator %d votes for %v, which it has not made durable", v.i, vote.Data.Block)
	}
}

// proposedRight: a block that is voted for is its leader's, names who failed before it, and is not of the future.
func (l *wireLog) proposedRight(v *validator, b *consensus.Block) {
	if leader := l.w.lineage.leader(b.Parent, b.Round); b.Proposer != leader {
		l.w.fail("I8 safe to vote", "validator %d votes in round %d for a block of %s, its leader is %s", v.i, b.Round, b.Proposer.Short(), leader.Short())
	}
	least, most := l.w.lineage.failed(b.Parent, b.Round, b.Timestamp)
	if !mayFail(b.Failed, least, most) {
		l.w.fail("I8 safe to vote", "validator %d votes in round %d for a block that names the failed leaders %x, its chain has %x to %x", v.i, b.Round, b.Failed, least, most)
	}
	if !bytes.Equal(most, least) {
		l.w.reach("choice of the failed leaders")
		if !bytes.Equal(b.Failed, most) {
			l.w.reach("failed leader let back in")
		}
		if !bytes.Equal(b.Failed, least) {
			l.w.reach("failed leader kept out")
		}
	}
	if ahead := time.UnixMilli(int64(b.Timestamp)).Sub(v.Now()); ahead > 0 {
		l.w.fail("I10 validity", "validator %d votes in round %d for a block that is %v ahead of its clock", v.i, b.Round, ahead)
	}
}

// locks is the round that a vote for b locks: of its parent, under three_chain of its parent's parent.
func (l *wireLog) locks(b *consensus.Block) consensus.Round {
	if l.w.cfg.Rule == consensus.ThreeChain {
		return b.QC.Data.Parent.Round
	}
	return b.QC.Round()
}

// safeToVote: under two_chain the block follows a QC of the round before; or a TC of it, and then its QC is at least the
// TC's. Under three_chain its QC is not below the lock.
func (l *wireLog) safeToVote(v *validator, b *consensus.Block) {
	if b.QC.Round()+1 == b.Round {
		return
	}
	if l.w.cfg.Rule == consensus.ThreeChain {
		if b.QC.Round() < l.signer[v.member].lock {
			l.w.fail("I8 safe to vote", "validator %d votes in round %d for a block on %v, locked on %d", v.i, b.Round, b.QC, l.signer[v.member].lock)
		}
		l.w.reach("vote after TC")
		return
	}
	for _, tc := range l.justify[b.ID()] {
		if tc != nil && tc.Round+1 == b.Round && highest(tc) <= b.QC.Round() {
			l.w.reach("vote after TC")
			return
		}
	}
	l.w.fail("I8 safe to vote", "validator %d votes in round %d for a block on %v without a TC", v.i, b.Round, b.QC)
}

func (l *wireLog) timeout(v *validator, t *consensus.Timeout) {
	so := l.signer[v.member]
	l.qc(t.QC)
	l.tc(t.TC)
	if t.Vote != nil {
		l.vote(v, t.Vote)
	}
	if !l.once('t', v, t.Round, t.Encode()) {
		return
	}
	l.timeouts[signedKey{'t', v.member, t.Round}] = t
	if !l.justified(t.Round, t.QC, t.TC) {
		l.w.fail("I8 justified entry", "validator %d times out in round %d with %v and %v", v.i, t.Round, t.QC, t.TC)
	}
	locked := t.QC.Round() < so.lock
	if l.w.cfg.Rule == consensus.ThreeChain {
		locked = t.Round <= so.lock
	}
	if locked || t.Round < so.vote || t.Round <= so.timeout {
		l.w.fail("I8 safe to timeout", "validator %d times out in round %d with %v after %+v", v.i, t.Round, t.QC, *so)
	}
	so.timeout = t.Round
	l.durable(v, "timeout", func(d safety.State) bool {
		return d.LastVoted >= t.Round && d.LastTimeout != nil &&
			(d.LastTimeout.Round > t.Round || d.LastTimeout.Round == t.Round && d.LastTimeout.QC.Round() == t.QC.Round())
	})
}

// durable fails unless a crash of v at this instant, at its worst, would leave a safety record that covers what is on
// its way: I6.
func (l *wireLog) durable(v *validator, what string, covers func(safety.State) bool) {
	survivor := storagetest.NewDisk(nil)
	for _, name := range []string{storage.SafetyFileA, storage.SafetyFileB} {
		if content := v.disk.Durable(name); content != nil {
			survivor.Set(name, content)
		}
	}
	record, err := storage.OpenSafetyRecordIn(survivor, v.identity())
	if err != nil {
		l.w.fail("I6 persist before send", "validator %d sends a %s while nothing of its record is durable: %v", v.i, what, err)
	}
	if d := record.State(); !covers(d) {
		l.w.fail("I6 persist before send", "validator %d sends a %s that its durable record does not cover: %+v", v.i, what, d)
	}
}

// holds reports whether v has b and all between it and its newest durable commit, and nothing that a crash could take:
// what does not link to that commit is thrown away at the next start.
func (l *wireLog) holds(v *validator, b *consensus.Block) bool {
	if v.kv.Unsynced(storage.StepEvidence) > 0 {
		return false
	}
	tip := v.store.Tip()
	if tip.Round >= b.Round {
		return true // decided meanwhile
	}
	blocks, err := v.store.Uncommitted()
	l.w.must(err)
	have := map[consensus.Hash]*consensus.Block{}
	for _, one := range blocks {
		have[one.ID()] = one
	}
	if mine := have[b.ID()]; mine == nil || len(mine.Payload) != len(b.Payload) {
		return false
	}
	for id := b.ID(); id != tip.ID; id = have[id].Parent {
		if have[id] == nil {
			return false
		}
	}
	return true
}
