package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// guarded is a core of validator 3 of four whose record goes to round 5: it timed out in 4, voted and proposed in 5.
type guarded struct {
	*solo
	blocks []*consensus.Block // of rounds 1 to 60, each the parent of the next
	now    time.Time
}

func newGuarded(t *testing.T, power ...consensus.Power) *guarded {
	t.Helper()
	if len(power) == 0 {
		power = consensustest.Equal(4)
	}
	g := &guarded{solo: &solo{t: t, Committee: consensustest.New(power...)}, now: start}
	g.v = g.Verifier()
	g.v.Cache = cache{}
	g.blocks, _ = g.Chain(g.GenesisQC(), 60)
	own := g.block(5)
	state := safety.Initial(consensus.FirstEpoch)
	state.LastVoted, state.Locked, state.LastProposed, state.LastProposal = 5, 4, 5, own.ID()
	state.LastVote = &consensus.Vote{Data: g.Data(own)}
	state.LastTimeout = &consensus.Timeout{Round: 4, QC: g.qc(3)}
	genesis := must(g.v.QC(g.GenesisQC()))
	g.core, g.last = core.New(core.Config{
		Domain: g.Domain, Validators: g.Set, Self: g.ID(3), ContiguousRounds: 2, Timing: core.DefaultTiming(),
		Election: core.RoundRobin(g.Set, 2),
	}, core.Recovery{Now: start, Safety: state, Root: g.Root, Proof: genesis, HighQC: must(g.v.QC(g.qc(4)))})
	return g
}

func (g *guarded) block(r consensus.Round) *consensus.Block { return g.blocks[r-1] }

// qc certifies the block of a round: by all when ours is wanted or the record covers it, else by the first three.
func (g *guarded) qc(r consensus.Round, ours ...bool) *consensus.QC {
	qc := g.QC(g.Data(g.block(r)))
	if len(ours) > 0 || r < 5 {
		return qc
	}
	var without []consensus.SignedBy
	for _, s := range qc.Signatures {
		if s.Signer != g.ID(3) {
			without = append(without, s)
		}
	}
	return consensus.NewQC(qc.Data, without)
}

func (g *guarded) tell(from int, sync *consensus.SyncInfo) core.Effects {
	return g.step(core.SyncInfoReceived{At: core.At(g.now), From: g.ID(from), Sync: must(g.v.SyncInfo(sync))})
}

// listens tells of the newest certificates from everybody, so that the listening is over.
func (g *guarded) listened(qc *consensus.QC) {
	for i := range 3 {
		g.tell(i, &consensus.SyncInfo{HighQC: qc})
	}
}

func (g *guarded) vote(r consensus.Round, tx string) {
	b := g.block(r)
	if tx != "" {
		b = g.Block(b.QC, r, nil, tx)
	}
	vote := g.Identity(3).Vote(&consensus.Vote{Data: g.Data(b)})
	g.step(core.VoteReceived{At: core.At(g.now), From: g.ID(0), Vote: vote, Sync: must(g.v.SyncInfo(&consensus.SyncInfo{HighQC: g.qc(4)}))})
}

func (g *guarded) timeout(r, qc consensus.Round) {
	draft := &consensus.Timeout{Round: r, QC: g.qc(qc)}
	if qc+1 != r {
		high := g.qc(qc)
		draft.TC = g.TC(r-1, high, high, high, nil)
	}
	g.step(core.TimeoutReceived{
		At: core.At(g.now), From: g.ID(0), Timeout: g.Identity(3).Timeout(draft), Sync: must(g.v.SyncInfo(&consensus.SyncInfo{HighQC: g.qc(4)})),
	})
}

// TestGuard: what the record covers, or may, is no alarm; whatever it cannot is, in a message or in a certificate, when its
// round is near.
func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		show  func(*guarded)
		alarm bool
	}{
		"the last vote":                 {func(g *guarded) { g.vote(5, "") }, false},
		"the last vote in a QC":         {func(g *guarded) { g.listened(g.qc(5, true)) }, false},
		"an earlier vote":               {func(g *guarded) { g.vote(3, "") }, false},
		"an earlier vote in a QC":       {func(g *guarded) { g.listened(g.qc(2, true)) }, false},
		"an earlier timeout":            {func(g *guarded) { g.timeout(3, 2) }, false},
		"the last timeout":              {func(g *guarded) { g.timeout(4, 3) }, false},
		"a QC without us":               {func(g *guarded) { g.listened(g.qc(9)) }, false},
		"another vote of that round":    {func(g *guarded) { g.vote(5, "other") }, true},
		"a later vote":                  {func(g *guarded) { g.vote(6, "") }, true},
		"a later vote in a QC":          {func(g *guarded) { g.listened(g.qc(6, true)) }, true},
		"another timeout of that round": {func(g *guarded) { g.timeout(4, 2) }, true},
		"a later timeout":               {func(g *guarded) { g.timeout(5, 4) }, true},
		"a later timeout in a TC": {func(g *guarded) {
			high := g.qc(4)
			sync := &consensus.SyncInfo{HighQC: high, TC: g.TC(5, high, nil, high, high)}
			g.tell(0, sync)
		}, true},
		"a later proposal": {func(g *guarded) {
			b := g.Block(g.qc(4), 6, nil, "mine")
			b.Proposer = g.ID(3)
			b = consensus.NewBlock(b.Header, b.QC, b.Payload)
			high := g.qc(4)
			p := g.Identity(3).Proposal(&consensus.Proposal{Block: b, TC: g.TC(5, high, high, high, nil)})
			g.step(core.ProposalReceived{At: core.At(g.now), From: g.ID(0), Proposal: p, Sync: must(g.v.SyncInfo(&consensus.SyncInfo{HighQC: high}))})
		}, true},
		"a vote that is 32 rounds old when we know": {func(g *guarded) {
			g.tell(0, &consensus.SyncInfo{HighQC: g.qc(6, true)})
			g.listened(g.qc(6 + core.EvidenceWindow - 1))
		}, true},
		"a vote that is 33 rounds old when we know": {func(g *guarded) {
			g.tell(0, &consensus.SyncInfo{HighQC: g.qc(6, true)})
			g.listened(g.qc(6 + core.EvidenceWindow))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			c.show(g)
			g.listened(g.qc(4))
			got := g.count("SignedElsewhere")
			if alarm := got > 0; alarm != c.alarm || got > 1 {
				t.Fatalf("%d alarms: %v", got, g.notes)
			}
			if said := g.count("Listened") > 0; said == c.alarm {
				t.Errorf("says that it signs from now on: %v", said)
			}
			s := g.core.Status()
			if s.Listening || s.Silent != c.alarm {
				t.Fatalf("%+v", s)
			}
			// A node that has found it signs nothing, whatever happens; another one times out in its round.
			g.now = g.now.Add(time.Minute)
			effects := g.step(core.TimerFired{At: core.At(g.now)})
			signs := 0
			for _, e := range effects.Send {
				if e.Vote != nil || e.Timeout != nil || e.Proposal != nil {
					signs++
				}
			}
			if (signs > 0) == c.alarm {
				t.Errorf("it signs %d messages: %+v", signs, effects.Send)
			}
		})
	}
}

// TestListening: after a start nothing new is signed before all were heard, or enough and a while has passed, or one and a
// base interval. What was signed before is sent again at once.
func TestListening(t *testing.T) {
	base := core.DefaultTiming().Base
	step := func(g *guarded, d time.Duration) {
		g.now = g.now.Add(d)
		g.step(core.TimerFired{At: core.At(g.now)})
	}
	hear := func(who ...int) func(*guarded) {
		return func(g *guarded) {
			for _, i := range who {
				g.tell(i, &consensus.SyncInfo{HighQC: g.qc(4)})
			}
		}
	}
	for name, c := range map[string]struct {
		power []consensus.Power
		do    func(*guarded)
		over  bool
	}{
		"nobody":                      {nil, hear(), false},
		"nobody for an hour":          {nil, func(g *guarded) { step(g, time.Hour) }, false},
		"ourselves":                   {nil, hear(3, 3, 3), false},
		"all":                         {nil, hear(0, 1, 2), true},
		"one":                         {nil, hear(1), false},
		"one again and again":         {nil, hear(1, 1, 1), false},
		"two":                         {nil, hear(1, 2), false},
		"two, and almost the grace":   {nil, func(g *guarded) { hear(1, 2)(g); step(g, base/8-1) }, false},
		"two, and the grace":          {nil, func(g *guarded) { hear(1, 2)(g); step(g, base/8) }, true},
		"one, and almost an interval": {nil, func(g *guarded) { hear(1)(g); step(g, base-1) }, false},
		"one, and an interval":        {nil, func(g *guarded) { hear(1)(g); step(g, base) }, true},
		"one after an interval":       {nil, func(g *guarded) { step(g, base); hear(1)(g) }, true},
		"a quorum with us":            {[]consensus.Power{1, 2, 2, 5}, func(g *guarded) { hear(1)(g); step(g, base/8) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, c.power...)
			if !g.core.Status().Listening {
				t.Fatal("it does not listen")
			}
			c.do(g)
			s := g.core.Status()
			if s.Listening == c.over || (g.count("Listened") > 0) != c.over {
				t.Errorf("%+v: %v", s, g.notes)
			}
			if signed := g.count("TimeoutSigned") + g.count("VoteSigned") + g.count("ProposalSigned"); signed > 0 && !c.over {
				t.Errorf("it signs: %v", g.notes)
			}
		})
	}
	// A validator that is a quorum by itself needs nobody.
	if g := newGuarded(t, 1, 1, 1, 7); g.core.Status().Listening {
		t.Error("it waits for others that nothing depends on")
	}
}

// TestListeningEndsOverdue: a round that should have been left meanwhile is left at once.
func TestListeningEndsOverdue(t *testing.T) {
	g := newGuarded(t)
	g.now = g.now.Add(time.Minute)
	g.step(core.TimerFired{At: core.At(g.now)})
	if g.count("RoundExpired") != 1 || g.count("TimeoutSigned") != 0 {
		t.Fatalf("%v", g.notes)
	}
	g.tell(0, &consensus.SyncInfo{HighQC: g.qc(4)})
	if g.count("TimeoutSigned", fmt.Sprintf("Round:%d", 5)) != 1 {
		t.Errorf("%v", g.notes)
	}
}
