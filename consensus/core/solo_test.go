package core_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// solo is one core, the last of four validators, whose peers are played by the test.
type solo struct {
	t *testing.T
	*consensustest.Committee
	v     *consensus.Verifier
	core  *core.Core
	last  core.Effects
	notes []string
	asked core.Fetch // the newest
}

func newSolo(t *testing.T) *solo { return newSoloWith(t, core.DefaultTiming()) }

// newSoloWith makes a core that is not guarded: the tests make certificates with the signatures of all.
func newSoloWith(t *testing.T, timing core.Timing) *solo {
	s := &solo{t: t, Committee: consensustest.New(consensustest.Equal(4)...)}
	s.v = s.Verifier()
	s.v.Cache = cache{}
	genesis := must(s.v.QC(s.GenesisQC()))
	s.core, s.last = core.New(core.Config{
		Domain: s.Domain, Validators: s.Set, Self: s.ID(3), ContiguousRounds: 2, Timing: timing,
		Election: core.RoundRobin(s.Set, 2), Unguarded: true,
	}, core.Recovery{
		Now: start, Safety: safety.Initial(consensus.FirstEpoch), Root: s.Root, Proof: genesis, HighQC: genesis,
	})
	return s
}

// step hands over an event and executes whatever is asked for.
func (s *solo) step(ev core.Event) core.Effects {
	s.last = s.core.Step(ev)
	effects := s.last
	for _, n := range effects.Notes {
		s.notes = append(s.notes, fmt.Sprintf("%T %+v", n, n))
	}
	for _, f := range effects.Fetch {
		s.asked = f
	}
	for _, b := range effects.Execute {
		s.step(core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)})
	}
	s.last = effects
	return effects
}

func (s *solo) sync(qc *consensus.QC, tc *consensus.TC) consensus.Verified[*consensus.SyncInfo] {
	return must(s.v.SyncInfo(&consensus.SyncInfo{HighQC: qc, TC: tc}))
}

func (s *solo) propose(b *consensus.Block, tc *consensus.TC) {
	s.step(core.ProposalReceived{
		At: core.At(start), From: b.Proposer, Proposal: must(s.v.Proposal(s.Proposal(b, tc))), Sync: s.sync(s.GenesisQC(), nil),
	})
}

// count counts the notes since the last call that contain all words.
func (s *solo) count(words ...string) (n int) {
	for _, note := range s.notes {
		all := true
		for _, w := range words {
			all = all && strings.Contains(note, w)
		}
		if all {
			n++
		}
	}
	return n
}

// TestFullTree: at MaxUncommitted a core refuses uncertified blocks of old rounds, drops the oldest for newer ones, and
// proposes empty blocks; the current round's first proposal, and what is certified, is never refused.
func TestFullTree(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	tcOf := func(round consensus.Round) *consensus.TC {
		if round == 0 {
			return nil
		}
		return s.TC(round, genesis, genesis, genesis, nil)
	}
	round := consensus.Round(0)
	for s.core.Status().Tree < core.MaxUncommitted {
		round++
		for i := range core.MaxPerRoundAuthor {
			s.propose(s.Block(genesis, round, nil, fmt.Sprintf("block %d", i)), tcOf(round-1))
		}
	}
	if got := s.core.Status().Tree; got != core.MaxUncommitted {
		t.Fatalf("%d blocks", got)
	}
	if s.count("ProposalRejected") != 0 {
		t.Fatalf("rejected before the tree was full: %v", s.notes)
	}
	next := round + 1
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(genesis, tcOf(round))})
	taken := func(b *consensus.Block) bool {
		s.notes = nil
		var tc *consensus.TC
		if b.Round > 1 {
			tc = tcOf(b.Round - 1)
		}
		s.propose(b, tc)
		if got := s.core.Status().Tree; got > core.MaxUncommitted {
			t.Errorf("the tree grew to %d", got)
		}
		return s.count("ProposalAccepted") == 1
	}
	if taken(s.Block(genesis, 2, nil, "old")) {
		t.Error("a new block of an old round was taken into a full tree")
	}
	if !taken(s.Block(genesis, next, nil, "first")) {
		t.Error("the current round's first proposal was refused")
	}
	if taken(s.Block(genesis, next, nil, "second")) {
		t.Error("a second proposal of the current round was taken into a full tree")
	}
	certified := s.Block(genesis, next, nil, "third")
	s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(s.QC(s.Data(certified)), nil)})
	if !taken(certified) {
		t.Error("a certified block was refused")
	}
	s.propose(s.Block(genesis, next+1, nil, "late"), tcOf(next))
	high := s.QC(s.Data(certified))
	for r := next + 1; ; r++ { // on to a round that we lead
		tc := s.TC(r, high, high, high, nil)
		s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(high, tc)})
		if b := s.last.Build; b != nil {
			if !b.Empty || b.Round != r+1 || b.Proposer != s.ID(3) || b.Parent.ID != certified.ID() || b.Height != 2 {
				t.Errorf("build %+v", b)
			}
			break
		}
		if r > next+10 {
			t.Fatal("never asked to build")
		}
	}
}

// TestOrphanLimit: of the proposals that wait for their parents the newest of each author is kept, so that nobody pushes
// out another one's, and they are taken in when the parents come, those of their leaders only.
func TestOrphanLimit(t *testing.T) {
	s := newSolo(t)
	rotation := s.Len() * int(s.Genesis.ContiguousRounds)
	chain, _ := s.Chain(s.GenesisQC(), 2*rotation)
	for _, b := range chain[1:] {
		s.propose(b, nil)
	}
	if held := s.count("ProposalHeld"); held != len(chain)-1 {
		t.Fatalf("%d were held", held)
	}
	s.notes = nil
	s.propose(chain[1], nil)                                                        // older than what its author has here
	s.propose(s.Block(chain[2*rotation-1].QC, chain[2*rotation-1].Round, nil), nil) // the second of its round
	if held := s.count("ProposalHeld"); held != 0 {
		t.Errorf("%d more were held", held)
	}
	last := chain[len(chain)-1]
	usurped := s.Block(last.QC, last.Round, func(h *consensus.Header) { h.Proposer = s.ID(1) }, "usurped")
	s.propose(usurped, nil) // takes the room of its own author
	if s.count("ProposalHeld") != 1 || s.core.Status().Tree != 0 {
		t.Fatalf("an orphan is in the tree: %v", s.notes)
	}

	if s.asked.Request.Target.ID != chain[0].ID() {
		t.Fatalf("fetches %v", s.asked.Request)
	}
	answer := must(s.v.Chunk(s.asked.Request, &consensus.Chunk{Blocks: chain[:1]}))
	s.step(core.BlocksFetched{At: core.At(start), Peer: s.asked.Peer, Target: chain[0].ID(), Chunk: answer})
	if s.count("ProposalAccepted") != 0 {
		t.Error("a dropped orphan was taken in")
	}
	// The fetch goes on to the high QC's block; an answer with the dropped ones adopts the rest.
	rest := s.asked.Request
	answer = must(s.v.Chunk(rest, &consensus.Chunk{Blocks: chain[rest.From-1 : len(chain)-1]}))
	s.step(core.BlocksFetched{At: core.At(start), Peer: s.asked.Peer, Target: rest.Target.ID, Chunk: answer})
	if got, want := s.count("ProposalAccepted"), s.Len()*core.MaxOrphansPerAuthor-1; got != want {
		t.Errorf("%d orphans were taken in, want %d: %v", got, want, s.notes)
	}
	if s.count("ProposalRejected", usurped.String(), "the leader of round") != 1 || s.core.Holds(usurped.ID()) {
		t.Errorf("who does not lead was taken in: %v", s.notes)
	}
	if high := s.core.Status().HighQC; s.core.Status().Root.ID != high.Commit().ID {
		t.Errorf("root %v, want %v", s.core.Status().Root, high.Commit())
	}
}

// TestCertifiedAgainstTheElection: a quorum that certifies a block of somebody who does not lead, or that names the wrong
// failed leaders, contradicts us: we halt, and take nothing of it in.
func TestCertifiedAgainstTheElection(t *testing.T) {
	for name, change := range map[string]func(*consensus.Header){
		"another's round": func(h *consensus.Header) { h.Proposer = consensus.ValidatorID{1} },
		"wrong failed":    func(h *consensus.Header) { h.Failed = []byte{2} },
		"nobody failed":   func(h *consensus.Header) { h.Failed = nil },
		"as it must be":   nil,
	} {
		s := newSolo(t)
		b := s.Block(s.GenesisQC(), 3, change, "x")
		qc := s.QC(s.Data(b))
		s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(qc, nil)})
		chunk := must(s.v.Chunk(s.asked.Request, &consensus.Chunk{Blocks: []*consensus.Block{b}}))
		halt := s.step(core.BlocksFetched{At: core.At(start), Peer: s.asked.Peer, Target: b.ID(), Chunk: chunk}).Halt
		if change == nil {
			if halt != nil || !s.core.Holds(b.ID()) {
				t.Errorf("%s: %v", name, halt)
			}
			continue
		}
		if !errors.Is(halt, core.ErrDivergence) || s.core.Holds(b.ID()) {
			t.Errorf("%s: halt %v", name, halt)
		}
	}
}

// TestVoteWindow: votes are kept up to VoteWindow rounds ahead.
func TestVoteWindow(t *testing.T) {
	s := newSolo(t)
	for ahead := range core.VoteWindow + 3 {
		b := s.Block(s.GenesisQC(), 1+ahead, nil)
		vote := must(s.v.Vote(s.Vote(0, s.Data(b))))
		s.notes = nil
		s.step(core.VoteReceived{At: core.At(start), From: s.ID(0), Vote: vote, Sync: s.sync(s.GenesisQC(), nil)})
		if kept := s.count("VoteCounted") == 1; kept != (ahead <= core.VoteWindow) || kept == (s.count("MessageDropped") == 1) {
			t.Errorf("a vote %d rounds ahead: %v", ahead, s.notes)
		}
	}
}

// TestVotesAreBounded: while rounds end by TCs alone, a validator may vote in each of them. Only the votes of the last
// VoteMemory rounds are kept, and those can still make a QC.
func TestVotesAreBounded(t *testing.T) {
	s := newSolo(t)
	genesis := s.GenesisQC()
	const rounds = 3 * core.VoteMemory
	vote := func(i int, b *consensus.Block) {
		v := must(s.v.Vote(s.Vote(i, s.Data(b))))
		s.step(core.VoteReceived{At: core.At(start), From: s.ID(i), Vote: v, Sync: s.sync(genesis, nil)})
	}
	var blocks []*consensus.Block
	for round := consensus.Round(1); round <= rounds; round++ {
		b := s.Block(genesis, round, nil, fmt.Sprint(round))
		blocks = append(blocks, b)
		vote(0, b)
		vote(1, b)
		tc := s.TC(round, genesis, genesis, genesis)
		s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(genesis, tc)})
		if n := s.core.VotesKept(); n > 2*int(core.VoteMemory) || n < 2*int(min(round, core.VoteMemory)) {
			t.Fatalf("%d votes are kept after round %d", n, round)
		}
	}
	// The round is one more now: the window begins VoteMemory below it.
	old := blocks[rounds-core.VoteMemory-1]
	vote(2, old)
	if high := s.core.Status().HighQC; !high.Same(genesis) {
		t.Errorf("%v of a round below the window", high)
	}
	if n := s.core.VotesKept(); n != 2*int(core.VoteMemory) {
		t.Errorf("%d votes are kept after one below the window", n)
	}
	lowest := blocks[rounds-core.VoteMemory]
	vote(2, lowest)
	if high := s.core.Status().HighQC; high.Block().ID != lowest.ID() {
		t.Errorf("the votes of the lowest round of the window made %v", high)
	}
}

// TestDurations: rounds without a commit grow longer up to the cap, whatever Timing.Validate lets through.
func TestDurations(t *testing.T) {
	for name, timing := range map[string]core.Timing{
		"defaults":         core.DefaultTiming(),
		"the longest cap":  {Base: time.Second, Growth: 10, Cap: math.MaxInt64, FutureBound: 1},
		"the same base":    {Base: math.MaxInt64, Growth: 10, Cap: math.MaxInt64, FutureBound: 1},
		"too small a base": {Base: 1, Growth: 1.5, Cap: time.Second, FutureBound: 1},
	} {
		if err := timing.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := newSoloWith(t, timing)
		longest := time.Duration(0)
		for round := consensus.Round(1); round <= 60; round++ {
			tc := s.TC(round, s.GenesisQC(), s.GenesisQC(), s.GenesisQC())
			effects := s.step(core.SyncInfoReceived{At: core.At(start), From: s.ID(0), Sync: s.sync(s.GenesisQC(), tc)})
			for _, n := range effects.Notes {
				entered, ok := n.(core.RoundEntered)
				if ok && (entered.Duration < max(longest, timing.Base) || entered.Duration > timing.Cap) {
					t.Fatalf("%s: round %d lasts %v after one of %v", name, entered.Round, entered.Duration, longest)
				}
				if ok {
					longest = entered.Duration
				}
			}
		}
		if want := timing.Cap; timing.Base > 1 && longest != want {
			t.Errorf("%s: rounds of %v at last, want %v", name, longest, want)
		}
	}
}

// TestUnexpectedAnswers: answers to nothing that was asked change nothing.
func TestUnexpectedAnswers(t *testing.T) {
	s := newSolo(t)
	b := s.Block(s.GenesisQC(), 1, nil, "x")
	chunk := must(s.v.Chunk(consensus.FetchRequest{Target: consensustest.Outcome(b), From: 1}, &consensus.Chunk{Blocks: []*consensus.Block{b}}))
	for name, ev := range map[string]core.Event{
		"executed":       core.BlockExecuted{At: core.At(start), Info: consensustest.Outcome(b)},
		"invalid":        core.BlockExecuted{At: core.At(start), Info: consensus.BlockInfo{ID: b.ID()}, Invalid: errPoison},
		"payload":        core.PayloadBuilt{At: core.At(start), Round: 1, Parent: s.Root.ID, Payload: [][]byte{{1}}},
		"blocks":         core.BlocksFetched{At: core.At(start), Peer: s.ID(0), Target: b.ID(), Chunk: chunk},
		"failure":        core.FetchFailed{At: core.At(start), Peer: s.ID(0), Target: b.ID(), Reason: "none"},
		"timer":          core.TimerFired{At: core.At(start)},
		"our own return": core.PeerConnected{At: core.At(start), Peer: s.ID(3)},
	} {
		before := s.core.Status()
		e := s.step(ev)
		if e.Save != nil || len(e.Send) > 0 || e.Build != nil || len(e.Execute)+len(e.Fetch)+len(e.Commit) > 0 || e.Halt != nil {
			t.Errorf("%s: %+v", name, e)
		}
		if after := s.core.Status(); after.Round != before.Round || after.Tree != before.Tree || after.LastVoted != before.LastVoted {
			t.Errorf("%s: status %+v", name, after)
		}
	}
}
