package telemetry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/node/peer"
)

func TestCommittedRoundIsOneTraceOfAllNodes(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	want := traceID(c, 3)
	roots := map[trace.SpanID]string{}
	for self := range c.Len() {
		mem := tracetest.NewInMemoryExporter()
		cfg := config(c, self)
		cfg.Exporter = mem
		tel := newTelemetry(t, cfg)
		blocks := happyRounds(c, self, 5, tel.Observer())
		finish(c, 5, tel.Observer())

		spans := spansOf(t, tel, mem, want)
		names := []string{spanCollect, spanCommit, spanExecute, spanRound, spanSave, spanVote}
		if c.Leader(3) == self {
			names = append(names, spanPropose)
		} else {
			names = append(names, spanVerify)
		}
		slices.Sort(names)
		if diff := cmp.Diff(names, spanNames(spans)); diff != "" {
			t.Fatalf("spans of %s in round 3 (-want +got):\n%s", cfg.Node, diff)
		}
		root := find(t, spans, spanRound)
		roots[root.SpanContext.SpanID()] = cfg.Node
		if root.Parent.IsValid() {
			t.Errorf("the round span of %s has a parent", cfg.Node)
		}
		for _, s := range spans {
			if s.Name != spanRound && s.Parent.SpanID() != root.SpanContext.SpanID() {
				t.Errorf("%s of %s is not a child of its round span", s.Name, cfg.Node)
			}
			ro := s.Snapshot()
			if resourceAttr(ro, "service.name") != "cairn" || resourceAttr(ro, "service.instance.id") != cfg.Node {
				t.Errorf("%s: resource %v", s.Name, s.Resource)
			}
		}
		for key, value := range map[string]string{
			"cairn.round": "3", "cairn.epoch": "1", "cairn.leader": c.Set.At(c.Leader(3)).Name, "cairn.reason": "qc",
			"cairn.block": blocks[2].ID().String(), "cairn.height": "3", "cairn.left_by": "qc",
		} {
			if got := attr(root, key); got != value {
				t.Errorf("%s of %s is %q, want %q", key, cfg.Node, got, value)
			}
		}
		if commit := find(t, spans, spanCommit); attr(commit, "cairn.block") != blocks[2].ID().String() ||
			attr(commit, "cairn.proof_round") != "4" || attr(commit, "cairn.transactions") != "1" {
			t.Errorf("commit of %s: %v", cfg.Node, commit.Attributes)
		}
		for name, want := range map[string]string{
			spanRound: "20ms to 30ms", spanExecute: "22ms to 23ms", spanVote: "22ms to 24ms", spanCollect: "26ms to 28ms",
			spanCommit: "38ms to 39ms",
		} {
			if got := took(find(t, spans, name)); got != want {
				t.Errorf("%s of %s took %s, want %s", name, cfg.Node, got, want)
			}
		}
	}
	if len(roots) != 4 {
		t.Fatalf("%d round spans of 4 nodes: %v", len(roots), roots)
	}
}

func TestNodesKeepTheSameRounds(t *testing.T) {
	const rounds, share = 60, 0.5
	c := consensustest.New(consensustest.Equal(4)...)
	kept := func(self int, share float64) []trace.TraceID {
		mem := tracetest.NewInMemoryExporter()
		cfg := config(c, self)
		cfg.Exporter, cfg.SampleRounds = mem, share
		tel := newTelemetry(t, cfg)
		happyRounds(c, self, rounds, tel.Observer())
		finish(c, rounds, tel.Observer())
		if err := tel.traces.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var ids []trace.TraceID
		for _, s := range mem.GetSpans() {
			if s.Name == spanRound {
				ids = append(ids, s.SpanContext.TraceID())
			}
		}
		return ids
	}
	first := kept(0, share)
	if len(first) < rounds/4 || len(first) > rounds*3/4 {
		t.Fatalf("a share of %v kept %d of %d rounds", share, len(first), rounds)
	}
	for self := 1; self < c.Len(); self++ {
		if got := kept(self, share); !slices.Equal(got, first) {
			t.Errorf("node %d kept %v, node 0 %v", self, got, first)
		}
	}
	if got := kept(0, 0); len(got) != 0 {
		t.Errorf("a share of 0 kept %v", got)
	}
	if got := kept(0, 1); len(got) != rounds {
		t.Errorf("a share of 1 kept %d of %d rounds", len(got), rounds)
	}
	for _, id := range kept(1, share/2) {
		if !slices.Contains(first, id) {
			t.Errorf("%v is kept of a share of %v but not of %v", id, share/2, share)
		}
	}
}

func TestKeepAtItsBounds(t *testing.T) {
	lowest, highest := trace.TraceID{15: 1}, trace.TraceID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	half := trace.TraceID{0x80}
	below := trace.TraceID{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, test := range []struct {
		id    trace.TraceID
		share float64
		want  bool
	}{
		{lowest, 0, false}, {lowest, 1e-9, true}, {highest, 1, true}, {highest, 0.9999999, false},
		{half, 0.5, false}, {below, 0.5, true},
	} {
		if got := keep(test.id, test.share); got != test.want {
			t.Errorf("keep(%v, %v) = %v", test.id, test.share, got)
		}
	}
}

func TestTimeoutSpanLastsFromTheExpiryToTheEnd(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	genesis := c.GenesisQC()
	mem := tracetest.NewInMemoryExporter()
	cfg := config(c, 0)
	cfg.Exporter = mem
	tel := newTelemetry(t, cfg)
	o := tel.Observer()
	o.Note(ms(0), core.RoundEntered{Round: 1, Reason: core.ByQC, Leader: c.ID(0)})
	o.Note(ms(1000), core.RoundExpired{Round: 1})
	o.Note(ms(1000), core.TimeoutSigned{Round: 1})
	o.Note(ms(1300), core.TCFormed{TC: c.TC(1, genesis, genesis, genesis)})
	o.Note(ms(1300), core.RoundEntered{Round: 2, Reason: core.ByTC, Leader: c.ID(0)})
	o.Note(ms(1500), core.TimeoutSigned{Round: 2}) // joined the others before the own expiry
	o.Note(ms(1800), core.RoundEntered{Round: 3, Reason: core.ByTC, Leader: c.ID(1)})

	for round, want := range map[consensus.Round]string{1: "1s to 1.3s", 2: "1.5s to 1.8s"} {
		spans := spansOf(t, tel, mem, traceID(c, round))
		if got := took(find(t, spans, spanTimeout)); got != want {
			t.Errorf("the timeout of round %d took %s, want %s", round, got, want)
		}
		if len(spans) != 2 {
			t.Errorf("spans of round %d: %v", round, spanNames(spans))
		}
		if got := attr(find(t, spans, spanRound), "cairn.left_by"); got != "tc" {
			t.Errorf("round %d was left by %q", round, got)
		}
	}
	if got := attr(find(t, spansOf(t, tel, mem, traceID(c, 1)), spanTimeout), "cairn.reason"); got != "timeout certificate formed" {
		t.Errorf("the timeout of round 1 ended because of %q", got)
	}
}

func TestRoundsPassedOverGetARoot(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	mem := tracetest.NewInMemoryExporter()
	cfg := config(c, 0)
	cfg.Exporter = mem
	tel := newTelemetry(t, cfg)
	o := tel.Observer()
	o.Note(ms(0), core.RoundEntered{Round: 40, Reason: core.ByQC, Leader: c.ID(0)})
	stage := func(name string, r consensus.Round, from float64) {
		o.Stage(engine.Stage{Name: name, Round: r, Start: ms(from), End: ms(from + 1)})
	}
	stage("verify", 41, 1)                                                          // before it is passed over
	o.Note(ms(5), core.RoundEntered{Round: 42, Reason: core.ByQC, Leader: c.ID(0)}) // passes over 41
	stage("execute", 41, 6)                                                         // after
	stage("execute", 39, 7)                                                         // never heard of
	stage("execute", 10, 8)                                                         // too old

	for round, want := range map[consensus.Round][]string{
		41: {spanExecute, spanRound, spanVerify}, 39: {spanExecute, spanRound}, 10: nil,
	} {
		spans := spansOf(t, tel, mem, traceID(c, round))
		if diff := cmp.Diff(want, spanNames(spans)); diff != "" {
			t.Errorf("spans of round %d (-want +got):\n%s", round, diff)
		}
		if len(want) > 0 && attr(find(t, spans, spanRound), "cairn.entered") != "false" {
			t.Errorf("round %d was not entered, its span does not say so", round)
		}
	}
	if got := took(find(t, spansOf(t, tel, mem, traceID(c, 41)), spanRound)); got != "1ms to 2ms" {
		t.Errorf("round 41 took %s", got)
	}
}

// openSpans counts the spans that are started and not ended.
type openSpans struct {
	sdktrace.SpanProcessor
	open, most, ended int
	children          map[trace.TraceID]int
	roots             map[trace.SpanID]bool
	parents           []trace.SpanID
}

func (o *openSpans) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	o.open++
	o.most = max(o.most, o.open)
	if s.Parent().IsValid() {
		o.children[s.SpanContext().TraceID()]++
		o.parents = append(o.parents, s.Parent().SpanID())
	} else {
		o.roots[s.SpanContext().SpanID()] = true
	}
}

func (o *openSpans) OnEnd(sdktrace.ReadOnlySpan) { o.open--; o.ended++ }

// TestSpansAreBounded: whatever comes, in whatever order, one span is open, and for an instant three (the current round,
// one that is opened late, and the child that is recorded); no more rounds are remembered than may be; and every
// child's parent is a root of this node.
func TestSpansAreBounded(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	blocks, _ := c.Chain(c.GenesisQC(), 80)
	rapid.Check(t, func(rt *rapid.T) {
		watch := &openSpans{children: map[trace.TraceID]int{}, roots: map[trace.SpanID]bool{}}
		provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(watch), sdktrace.WithIDGenerator(idSource{}),
			sdktrace.WithSampler(sampler{rounds: 1}))
		tracer := newRoundTracer(config(c, 0), provider, newNames(c.Set))
		current, at := consensus.Round(1), start
		for range rapid.IntRange(1, 300).Draw(rt, "events") {
			at = at.Add(time.Millisecond)
			b := blocks[rapid.IntRange(0, len(blocks)-1).Draw(rt, "block")]
			info := consensustest.Outcome(b)
			switch rapid.IntRange(0, 9).Draw(rt, "kind") {
			case 0:
				current += consensus.Round(rapid.IntRange(1, 5).Draw(rt, "step"))
				tracer.note(at, core.RoundEntered{Round: current, Reason: core.ByQC, Leader: c.ID(0)})
			case 1:
				tracer.note(at, core.ProposalAccepted{Block: b})
			case 2:
				tracer.note(at, core.VoteSigned{Data: c.Data(b)})
			case 3:
				tracer.note(at, core.VoteCounted{Block: info})
			case 4:
				tracer.note(at, core.QCFormed{QC: b.QC})
			case 5:
				tracer.note(at, core.Committed{Info: info, Proof: b.QC})
			case 6:
				tracer.note(at, core.RoundExpired{Round: b.Round})
			case 7:
				tracer.note(at, equivocation(consensus.VoteEvidence, consensus.ValidatorID{}, b.Round))
			default:
				name := rapid.SampledFrom([]string{"verify", "build", "execute", "save", "commit", "unknown"}).Draw(rt, "stage")
				tracer.stage(engine.Stage{Name: name, Round: b.Round, Start: at, End: at.Add(time.Millisecond)})
			}
			if len(tracer.rounds) > maxRounds || watch.open > 1 || watch.most > 3 {
				rt.Fatalf("%d rounds remembered, %d spans open, %d at most", len(tracer.rounds), watch.open, watch.most)
			}
		}
		tracer.end()
		if watch.open != 0 || len(tracer.rounds) != 0 {
			rt.Fatalf("%d spans open and %d rounds remembered after the end", watch.open, len(tracer.rounds))
		}
		for id, n := range watch.children {
			if n > maxPieces {
				rt.Fatalf("%d children in trace %v", n, id)
			}
		}
		for _, parent := range watch.parents {
			if !watch.roots[parent] {
				rt.Fatalf("a child of %v, which is no root", parent)
			}
		}
	})
}

func TestChildrenOfARoundAreBounded(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	for _, test := range []struct{ sent, want int }{
		{maxPieces - 1, maxPieces - 1}, {maxPieces, maxPieces}, {maxPieces + 1, maxPieces},
	} {
		for _, early := range []bool{true, false} {
			mem := tracetest.NewInMemoryExporter()
			cfg := config(c, 0)
			cfg.Exporter = mem
			tel := newTelemetry(t, cfg)
			entered := func() { tel.note(ms(0), core.RoundEntered{Round: 1, Reason: core.ByQC}) }
			if !early {
				entered()
			}
			for range test.sent {
				tel.stage(engine.Stage{Name: "verify", Round: 1, Start: ms(1), End: ms(2)})
			}
			if early {
				entered()
			}
			if got := len(spansOf(t, tel, mem, traceID(c, 1))); got != test.want {
				t.Errorf("%d children (early: %v) recorded of %d, want %d", got, early, test.sent, test.want)
			}
		}
	}
}

func TestEquivocationIsAnEventOfTheRound(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	mem := tracetest.NewInMemoryExporter()
	cfg := config(c, 0)
	cfg.Exporter = mem
	tel := newTelemetry(t, cfg)
	tel.note(ms(0), core.RoundEntered{Round: 1, Reason: core.ByQC})
	tel.note(ms(1), equivocation(consensus.VoteEvidence, c.ID(2), 1))
	finish(c, 1, tel.Observer())
	root := find(t, spansOf(t, tel, mem, traceID(c, 1)), spanRound)
	if len(root.Events) != 1 || !strings.Contains(root.Events[0].Attributes[0].Value.String(), c.Set.At(2).Name) {
		t.Fatalf("events: %v", root.Events)
	}
}

// TestStagesComeFromAnyGoroutine: notes on one, stages on others, scrapes and peers' notes beside them. The race detector
// judges.
func TestStagesComeFromAnyGoroutine(t *testing.T) {
	const rounds, workers = 100, 3
	c := consensustest.New(consensustest.Equal(4)...)
	mem := tracetest.NewInMemoryExporter()
	cfg := config(c, 0)
	cfg.Exporter = mem
	tel := newTelemetry(t, cfg)
	o := tel.Observer()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for r := range consensus.Round(rounds) {
				o.Stage(engine.Stage{Name: "execute", Round: r + 1, Start: ms(float64(r)), End: ms(float64(r + 1))})
			}
		})
	}
	group.Go(func() {
		for range 5 {
			scrape(t, tel)
			tel.PeerObserver()(peer.Up{Peer: c.ID(1)})
		}
	})
	happyRounds(c, 0, rounds, o)
	group.Wait()
	finish(c, rounds, o)
	if spans := spansOf(t, tel, mem, traceID(c, rounds)); !slices.Contains(spanNames(spans), spanRound) {
		t.Errorf("spans of the last round: %v", spanNames(spans))
	}
	if got := scrape(t, tel)[`cairn_stage_duration_seconds{stage="execute"}`]; got != rounds*(workers+1) {
		t.Errorf("%v executions measured, want %d", got, rounds*(workers+1))
	}
}
