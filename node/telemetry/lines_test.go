package telemetry

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/node/peer"
)

// everyNote is one of each kind and what is said of it; "" is nothing.
func everyNote(c *consensustest.Committee) []struct {
	note core.Note
	want string
} {
	blocks, _ := c.Chain(c.GenesisQC(), 2)
	b := blocks[0]
	info := consensustest.Outcome(b)
	id, genesis := b.ID().Short(), c.GenesisQC()
	of := "round=1 height=1 block=" + id
	target := consensus.FetchRequest{Target: info, From: 1}
	return []struct {
		note core.Note
		want string
	}{
		{core.RoundEntered{Round: 1, Reason: core.ByQC, Leader: c.ID(0), Duration: time.Second},
			`level=DEBUG msg="round entered" round=1 reason=qc leader=a duration=1s`},
		{core.RoundEntered{Round: 2, Reason: core.ByTC, Leader: c.ID(1), Duration: 1200 * time.Millisecond},
			`level=INFO msg="round entered" round=2 reason=tc leader=b duration=1.2s`},
		{core.RoundExpired{Round: 1}, `level=WARN msg="round expired" round=1`},
		{core.Idle{Round: 1}, `level=DEBUG msg="leader waits for work" round=1`},
		{core.ProposalSigned{Block: b}, `level=DEBUG msg="proposal signed" ` + of + ` transactions=1`},
		{core.ProposalAccepted{Block: b, From: c.ID(3)}, `level=DEBUG msg="proposal accepted" ` + of + ` transactions=1 peer=d`},
		{core.ProposalRejected{Block: b, From: c.ID(3), Reason: "its height is wrong"},
			`level=WARN msg="proposal rejected" ` + of + ` peer=d reason="its height is wrong"`},
		{core.ProposalHeld{Block: b}, `level=DEBUG msg="proposal waits for its parent" ` + of},
		{core.Executed{Info: info}, `level=DEBUG msg=executed ` + of},
		{core.ExecutionRefused{ID: b.ID(), Reason: errors.New("overdraft")},
			`level=WARN msg="block refused by the application" block=` + id + ` reason=overdraft`},
		{core.VoteSigned{Data: c.Data(b)}, `level=DEBUG msg="vote signed" ` + of},
		{core.VoteRefused{Block: info, Rule: "locked"}, `level=WARN msg="vote refused" ` + of + ` reason=locked`},
		{core.VoteHeld{Block: info, Until: info.Timestamp},
			`level=DEBUG msg="vote waits for the block's time" ` + of + ` until=2026-01-01T00:00:00.001Z`},
		{core.VoteCounted{Block: info, Signer: c.ID(1), Power: 1}, ""},
		{core.QCFormed{QC: blocks[1].QC}, `level=DEBUG msg="quorum certificate formed" ` + of},
		{core.TimeoutSigned{Round: 3, QC: 1}, `level=DEBUG msg="timeout signed" round=3 qc_round=1`},
		{core.TimeoutRefused{Round: 3, Rule: "r < last_voted"}, `level=WARN msg="timeout refused" round=3 reason="r < last_voted"`},
		{core.TimeoutCounted{Round: 3, Signer: c.ID(1), Power: 1}, ""},
		{core.Rebroadcast{Round: 3}, `level=WARN msg="still in the round, sent again" round=3`},
		{core.TCFormed{TC: c.TC(3, genesis, genesis, genesis)}, `level=INFO msg="timeout certificate formed" round=3 qc_round=0`},
		{core.HighQCRaised{QC: blocks[1].QC}, ""},
		{core.Committed{Info: info, Proof: blocks[1].QC, Transactions: len(b.Payload)}, `level=INFO msg=committed ` + of + ` transactions=1 latency=41ms`},
		{core.FetchStarted{Peer: c.ID(2), Request: target}, `level=INFO msg="fetch started" peer=c height=1 block=` + id + ` from=1`},
		{core.FetchEnded{Peer: c.ID(2), Target: b.ID(), Blocks: 7}, `level=INFO msg="fetch ended" peer=c block=` + id + ` blocks=7`},
		{core.FetchEnded{Peer: c.ID(2), Target: b.ID(), Reason: "gone"}, `level=WARN msg="fetch failed" peer=c block=` + id + ` reason=gone`},
		{core.Helped{Peer: consensus.ValidatorID{0xab}}, `level=DEBUG msg="helped a peer that is behind" peer=ab000000`},
		{core.MessageDropped{Kind: "vote", From: c.ID(2), Round: 9, Reason: "too far ahead"},
			`level=DEBUG msg="message dropped" round=9 kind=vote peer=c reason="too far ahead"`},
		{core.Listened{Peers: 3, Power: 3}, `level=INFO msg="the others were heard: this node signs from now on" peers=3`},
		{core.SignedElsewhere{EvidenceKey: equivocation(consensus.VoteEvidence, c.ID(0), 9).EvidenceKey, Where: "in a vote", LastVoted: 7},
			`level=ERROR msg="this key signs elsewhere too, or the safety record is an old copy: this node signs no more" round=9 kind=vote reason="in a vote"`},
		{equivocation(consensus.VoteEvidence, c.ID(2), 9),
			`level=ERROR msg=equivocation round=9 kind=vote peer=c evidence=` + equivocation(consensus.VoteEvidence, c.ID(2), 9).ID().String()},
	}
}

// written returns what was written, without the time of each line.
func written(t *testing.T, tel *Telemetry, b *syncBuffer) []string {
	t.Helper()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		at, rest, _ := strings.Cut(l, " ")
		if at != "time="+ms(42).Format(time.RFC3339Nano) && at != "time="+ms(42).Format("2006-01-02T15:04:05.000Z07:00") {
			t.Errorf("a line of the time %s, want that of its note: %s", at, l)
		}
		out = append(out, rest)
	}
	return out
}

func TestEveryNoteHasItsLine(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Logger = textLogger(&b, slog.LevelDebug)
	tel := newTelemetry(t, cfg)
	var want []string
	for _, n := range everyNote(c) {
		tel.note(ms(42), n.note)
		if n.want != "" {
			want = append(want, n.want)
		}
	}
	if diff := cmp.Diff(want, written(t, tel, &b)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestEveryNoteIsTested: a kind of note that is new in the core must be added to everyNote.
func TestEveryNoteIsTested(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../consensus/core/note.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "note" && f.Recv != nil {
			kinds = append(kinds, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	var tested []string
	for _, n := range everyNote(consensustest.New(consensustest.Equal(4)...)) {
		tested = append(tested, reflect.TypeOf(n.note).Name())
	}
	slices.Sort(kinds)
	slices.Sort(tested)
	if diff := cmp.Diff(kinds, slices.Compact(tested)); diff != "" || len(kinds) < 20 {
		t.Errorf("kinds of notes (-core +tested):\n%s", diff)
	}
}

func TestLevelIsRespected(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Logger = textLogger(&b, slog.LevelWarn).With("node", "a")
	tel := newTelemetry(t, cfg)
	for _, n := range everyNote(c) {
		tel.note(ms(42), n.note)
	}
	lines := written(t, tel, &b)
	for _, l := range lines {
		if strings.Contains(l, "DEBUG") || strings.Contains(l, "INFO") || !strings.Contains(l, " node=a ") {
			t.Errorf("written at level warn, or without the logger's attribute: %s", l)
		}
	}
	if len(lines) != 9 {
		t.Errorf("%d lines of warnings and errors, want 9:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

func TestLinesOfOneKindAreLimited(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	blocks, _ := c.Chain(c.GenesisQC(), 1)
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Logger = textLogger(&b, slog.LevelInfo)
	tel := newTelemetry(t, cfg)
	rejected := core.ProposalRejected{Block: blocks[0], From: c.ID(1), Reason: "no"}
	const flood = 10_000
	for i := range flood { // within 100 ms
		tel.note(start.Add(time.Duration(i)*10*time.Microsecond), rejected)
	}
	tel.note(start, core.RoundExpired{Round: 1})         // another kind is not held up
	tel.note(start.Add(1200*time.Millisecond), rejected) // a second later one more may be written
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if want := int(peerPace.burst) + 2; len(lines) != want {
		t.Fatalf("%d lines of a flood, want %d", len(lines), want)
	}
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, fmt.Sprintf(" suppressed=%d", flood-int(peerPace.burst))) {
		t.Errorf("the line after the flood does not say how many were withheld: %s", last)
	}
	for _, l := range lines[:len(lines)-1] {
		if strings.Contains(l, "suppressed") {
			t.Errorf("suppressed before there was anything to suppress: %s", l)
		}
	}
}

func TestPaceAtItsBounds(t *testing.T) {
	b := newLineKind(start, pace{perSecond: 2, burst: 3})
	take := func(at time.Duration) string {
		suppressed, ok := b.take(start.Add(at))
		return fmt.Sprint(suppressed, ok)
	}
	for i, step := range []struct {
		at   time.Duration
		want string
	}{
		{0, "0 true"}, {0, "0 true"}, {0, "0 true"}, {0, "0 false"},
		{499 * time.Millisecond, "0 false"}, {500 * time.Millisecond, "2 true"}, {500 * time.Millisecond, "0 false"},
		{-time.Hour, "0 false"}, // a clock that goes back gives nothing
		{time.Hour, "2 true"}, {time.Hour, "0 true"}, {time.Hour, "0 true"}, {time.Hour, "0 false"},
	} {
		if got := take(step.at); got != step.want {
			t.Errorf("step %d at %v: %s, want %s", i, step.at, got, step.want)
		}
	}
}

func TestClipAtItsBounds(t *testing.T) {
	fits := strings.Repeat("x", maxReason)
	for text, want := range map[string]string{
		fits[1:]:       fits[1:],
		fits:           fits,
		fits + "y":     fits + "…",
		fits[1:] + "é": fits[1:] + "�…", // cut in the middle of a rune
		"\xff":         "�",
		"":             "",
	} {
		if got := clip(text); got != want {
			t.Errorf("clip(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestHostileTextIsQuotedAndCut(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Logger = textLogger(&b, slog.LevelInfo)
	tel := newTelemetry(t, cfg)
	evil := "no\ntime=x level=ERROR msg=forged\x1b[2J\xff" + strings.Repeat("é", 10_000)
	tel.note(ms(42), core.FetchEnded{Peer: c.ID(1), Reason: evil})
	lines := written(t, tel, &b)
	if len(lines) != 1 || len(lines[0]) > 2*maxReason || strings.Contains(lines[0], "\x1b") || !utf8.ValidString(lines[0]) {
		t.Errorf("%d lines: %.400q", len(lines), lines)
	}
}

// stuckWriter blocks every write until it is released.
type stuckWriter struct{ release chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) {
	<-w.release
	return len(p), nil
}

func TestStuckLogDoesNotHoldUpTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := consensustest.New(consensustest.Equal(4)...)
		stuck := stuckWriter{release: make(chan struct{})}
		cfg := config(c, 0)
		cfg.Logger = slog.New(slog.NewTextHandler(stuck, nil))
		tel, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := tel.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		const more = 50
		tel.note(start, core.RoundExpired{Round: 1})
		synctest.Wait() // the writer is stuck with that one
		for i := range maxPendingLines + more {
			at := start.Add(time.Duration(i) * time.Second) // slow enough for the limit
			tel.note(at, core.RoundExpired{Round: 2})
		}
		if got := tel.lines.journal.dropped.Load(); got != more {
			t.Errorf("%d lines dropped, want %d", got, more)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tel.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown with a stuck log: %v", err)
		}
		close(stuck.release)
		synctest.Wait()
		if got := tel.lines.journal.written.Load(); got != maxPendingLines+1 {
			t.Errorf("%d lines written after the release, want %d", got, maxPendingLines+1)
		}
	})
}

func TestPeerNotes(t *testing.T) {
	c := consensustest.New(consensustest.Equal(4)...)
	var b syncBuffer
	cfg := config(c, 0)
	cfg.Logger = textLogger(&b, slog.LevelInfo)
	tel := newTelemetry(t, cfg)
	no := errors.New("no")
	for _, n := range []peer.Note{
		peer.Up{Peer: c.ID(1)},
		peer.Down{Peer: c.ID(1), Reason: no},
		peer.Refused{Peer: c.ID(1), Reason: no, Suppressed: 2},
		peer.StrangerRefused{Address: "10.0.0.1:7", Reason: no, Suppressed: 3},
		peer.MessageRejected{From: c.ID(2), Reason: no},
	} {
		tel.peerNote(ms(42), n)
	}
	want := []string{
		`level=INFO msg="peer connected" peer=b`,
		`level=WARN msg="peer disconnected" peer=b reason=no`,
		`level=WARN msg="peer refused" peer=b reason=no suppressed=2`,
		`level=WARN msg="stranger refused" address=10.0.0.1:7 reason=no suppressed=3`,
		`level=WARN msg="message rejected" peer=c reason=no`,
	}
	if diff := cmp.Diff(want, written(t, tel, &b)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got := scrape(t, tel)[`cairn_peer_notes_total{kind="stranger"}`]; got != 4 {
		t.Errorf("%v strangers counted, want 4 with those left out", got)
	}
}
