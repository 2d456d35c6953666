package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/mem"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

// labelled is an outbound message that is only a number.
func labelled(n, weight int) outbound {
	return outbound{frame: func() encoded { return encoded(fmt.Sprint(n)) }, weight: weight}
}

func popped(t *testing.T, q *queue) string {
	t.Helper()
	m, ok := q.pop(t.Context())
	if !ok {
		t.Fatal("nothing to pop")
	}
	return string(m.frame())
}

func TestQueueDropsTheOldest(t *testing.T) {
	for name, test := range map[string]struct {
		pushed, weight  int
		dropped, oldest int
	}{
		"one less":        {MaxQueued - 1, 1, 0, 0},
		"full":            {MaxQueued, 1, 0, 0},
		"one more":        {MaxQueued + 1, 1, 1, 1},
		"many more":       {3*MaxQueued + 5, 1, 2*MaxQueued + 5, 2*MaxQueued + 5},
		"full by weight":  {16, maxQueuedBytes / 16, 0, 0},
		"over by weight":  {17, maxQueuedBytes / 16, 1, 1},
		"heavier than it": {3, maxQueuedBytes + 1, 2, 2},
	} {
		q := newQueue()
		q.start()
		dropped := 0
		for i := range test.pushed {
			dropped += q.push(labelled(i, test.weight))
		}
		if dropped != test.dropped {
			t.Errorf("%s: %d dropped, want %d", name, dropped, test.dropped)
		}
		for i := test.oldest; i < test.pushed; i++ {
			if got := popped(t, q); got != fmt.Sprint(i) {
				t.Fatalf("%s: popped %s, want %d", name, got, i)
			}
		}
		if q.count != 0 || q.weight != 0 {
			t.Errorf("%s: %d left of weight %d", name, q.count, q.weight)
		}
	}
}

func TestQueueThatIsShutTakesNothing(t *testing.T) {
	q := newQueue()
	if n := q.push(labelled(0, 1)); n != 1 {
		t.Errorf("%d dropped before the start", n)
	}
	q.start()
	q.push(labelled(1, 1))
	q.push(labelled(2, 1))
	if n := q.stop(); n != 2 {
		t.Errorf("%d dropped by the stop", n)
	}
	if n := q.push(labelled(3, 1)); n != 1 {
		t.Errorf("%d dropped after the stop", n)
	}
	q.start()
	q.push(labelled(4, 1))
	if got := popped(t, q); got != "4" {
		t.Errorf("popped %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := q.pop(ctx); ok {
		t.Error("popped from an empty queue")
	}
}

func TestMessageIsEncodedOncePerBroadcast(t *testing.T) {
	c := newCluster(t, 1)
	out := newOutbound(c.proposal(1, 1000))
	if first, second := out.frame(), out.frame(); &first[0] != &second[0] {
		t.Error("encoded twice")
	}
	if out.weight != flatWeight+1000 || out.bodies != 1000 {
		t.Errorf("weight %d, %d bytes of bodies", out.weight, out.bodies)
	}
	if out := newOutbound(c.compact(1, "short", strings.Repeat("x", 1000))); out.weight != flatWeight+2*consensus.HashSize || out.bodies != 5 {
		t.Errorf("compact: weight %d, %d bytes of bodies", out.weight, out.bodies)
	}
	if n := newOutbound(c.vote(0, 1)).bodies; n != 0 {
		t.Errorf("a vote with %d bytes of bodies", n)
	}
	// The codec sends those very bytes.
	data, err := newCodec().Marshal(out.frame())
	if err != nil {
		t.Fatal(err)
	}
	if got := data[0].ReadOnlyData(); &got[0] != &out.frame()[0] {
		t.Error("copied")
	}
}

func TestNotesAreLimited(t *testing.T) {
	clock := newFakeClock()
	var made []Note
	n := newNotes(func(n Note) { made = append(made, n) }, clock.now)
	a, b := consensus.ValidatorID{1}, consensus.ValidatorID{2}
	reason := errors.New("reason")
	for range 1000 {
		n.rejected(a, reason)
	}
	if len(made) != noteBurst {
		t.Fatalf("%d notes", len(made))
	}
	// Another peer, and another kind, have their own.
	n.rejected(b, reason)
	n.down(a, reason)
	n.up(a)
	n.refused(a, reason)
	n.stranger("address", reason)
	if len(made) != noteBurst+5 {
		t.Errorf("%d notes", len(made))
	}
	clock.pass(noteEvery - 1)
	n.rejected(a, reason)
	if len(made) != noteBurst+5 {
		t.Errorf("%d notes", len(made))
	}
	clock.pass(1)
	n.rejected(a, reason)
	n.rejected(a, reason)
	want := MessageRejected{From: a, Reason: reason, Suppressed: 1000 - noteBurst + 1}
	if len(made) != noteBurst+6 || made[noteBurst+5] != want {
		t.Errorf("%d notes, the last %+v, want %+v", len(made), made[len(made)-1], want)
	}
	newNotes(nil, clock.now).rejected(a, reason) // nobody listens
}

func TestScore(t *testing.T) {
	clock := newFakeClock()
	var s score
	s.add(clock.now(), scoreMax-1)
	if v, err := s.get(clock.now()); v != scoreMax-1 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	s.add(clock.now(), faultMalformed)
	if v, err := s.get(clock.now()); v != scoreMax || !errors.Is(err, ErrTooManyFaults) {
		t.Errorf("%v, %v: a score has a ceiling", v, err)
	}
	clock.pass((scoreMax/2 - 1) * time.Second / forgivenPerSecond)
	if _, err := s.get(clock.now()); !errors.Is(err, ErrTooManyFaults) {
		t.Error("forgiven too early")
	}
	clock.pass(time.Second / forgivenPerSecond)
	if v, err := s.get(clock.now()); v != scoreMax/2 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	clock.pass(time.Hour)
	if v, _ := s.get(clock.now()); v != 0 {
		t.Errorf("%v", v)
	}
	clock.pass(-time.Hour) // a clock that is set back forgives nothing and punishes nobody
	if v, err := s.get(clock.now()); v != 0 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}

func TestPatience(t *testing.T) {
	p := patience{base: 50, limit: 2000, refused: 15000}
	for _, test := range []struct {
		failures int
		refused  bool
		random   float64
		want     time.Duration
	}{
		{0, false, 0, 50}, {1, false, 0, 100}, {5, false, 0, 1600}, {6, false, 0, 2000}, {1 << 30, false, 0, 2000},
		{0, true, 0, 50}, {8, true, 0, 12800}, {9, true, 0, 15000}, {1 << 30, true, 0, 15000},
		{0, false, 0.5, 38}, {6, false, 0.999999, 1001},
	} {
		if got := p.delay(test.failures, test.refused, test.random); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

// dialled returns a connection that came in by the door, and its other end.
func dialled(t *testing.T, d *door) (*visitor, net.Conn) {
	t.Helper()
	out, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	in, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return in.(*visitor), out
}

// guest is one who came to a door: both ends of a connection.
type guest struct {
	in  *visitor
	out net.Conn
}

func (g guest) isHeld() bool {
	g.in.door.mu.Lock()
	defer g.in.door.mu.Unlock()
	return slices.Contains(g.in.door.unknown, g.in) || slices.Contains(g.in.door.known[g.in.from], g.in)
}

// isClosed waits for the other end to close the connection; false: it did not.
func (g guest) isClosed(t *testing.T) bool {
	t.Helper()
	if err := g.out.SetReadDeadline(time.Now().Add(patienceOfTests)); err != nil {
		t.Fatal(err)
	}
	_, err := g.out.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !g.isHeld()
}

func TestDoorClosesTheOldest(t *testing.T) {
	d := newDoor(listen(t, "127.0.0.1:0"))
	defer d.Close()
	one, two := newRemote(Peer{Name: "one"}, time.Time{}), newRemote(Peer{Name: "two"}, time.Time{})
	enter := func(from *remote) guest {
		v, out := dialled(t, d)
		if from != nil {
			d.recognise(v, from)
		}
		return guest{v, out}
	}
	other := enter(two)
	var known, unknown []guest
	for range maxPerPeer {
		known = append(known, enter(one))
	}
	for range maxUnknown {
		unknown = append(unknown, enter(nil))
	}
	for _, g := range []guest{other, known[0], unknown[0]} {
		if !g.isHeld() {
			t.Fatal("closed below the limit")
		}
	}
	enter(nil)
	if !unknown[0].isClosed(t) || !unknown[1].isHeld() || !known[0].isHeld() {
		t.Error("one more unknown: not the oldest of them is closed")
	}
	// One that becomes known was an unknown until then: the second oldest goes first.
	enter(one)
	if !unknown[1].isClosed(t) || !known[0].isClosed(t) || !known[1].isHeld() || !other.isHeld() {
		t.Error("one more of a peer: not the oldest of its own is closed")
	}
	if len(d.unknown) != maxUnknown-1 || len(d.known[one]) != maxPerPeer || len(d.known[two]) != 1 {
		t.Errorf("%d unknown, %d and %d known", len(d.unknown), len(d.known[one]), len(d.known[two]))
	}
	_ = d.Close()
	for _, g := range []guest{other, known[1], unknown[2]} {
		if !g.isClosed(t) {
			t.Error("still open behind a closed door")
		}
	}
	if len(d.unknown)+len(d.known[one])+len(d.known[two]) != 0 {
		t.Error("remembered behind a closed door")
	}
}

// A connection that is closed before its key is known is not held.
func TestDoorForgetsWhatClosed(t *testing.T) {
	d := newDoor(listen(t, "127.0.0.1:0"))
	defer d.Close()
	from := newRemote(Peer{}, time.Time{})
	v, _ := dialled(t, d)
	_ = v.Close()
	d.recognise(v, from)
	if len(d.unknown)+len(d.known[from]) != 0 {
		t.Error("held")
	}
	_ = v.Close()
}

func FuzzFrame(f *testing.F) {
	c := newCluster(f, 2)
	for _, m := range []*consensus.Message{c.vote(0, 1), c.proposal(1, 10), c.compact(1, "short", "longer than ten"), {Sync: c.syncInfo()}} {
		f.Add([]byte(encodeMessage(m)))
	}
	f.Add([]byte(encodeBatch(Batch{ID: 1, Transactions: [][]byte{{1}, {2}}})))
	f.Add([]byte(encodeAcknowledgement(Acknowledgement{ID: 300, Accepted: 2, Retry: []uint32{0, 400}, BackOff: time.Second})))
	f.Add([]byte(mustMarshal(f, consensusChannel.greeting(c.fetchGreeting()))))
	f.Fuzz(func(t *testing.T, b []byte) {
		data := mem.BufferSlice{mem.SliceBuffer(b)}
		var frame peerv1.ConsensusFrame
		if newCodec().Unmarshal(data, &frame) == nil {
			if m, err := decodeMessage(&frame); err == nil {
				// What was read can be sent on, and means the same.
				var again peerv1.ConsensusFrame
				if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encodeMessage(m))}, &again); err != nil {
					t.Fatal(err)
				}
				back, err := decodeMessage(&again)
				if err != nil || !bytes.Equal(encodeMessage(back), encodeMessage(m)) {
					t.Fatalf("comes back different: %v", err)
				}
			}
		}
		var batch peerv1.MempoolFrame
		if newCodec().Unmarshal(data, &batch) == nil {
			if b, err := decodeBatch(&batch); err == nil && len(b.Transactions) > MaxBatchTransactions {
				t.Fatalf("%d transactions", len(b.Transactions))
			}
			if a, err := decodeAcknowledgement(&batch); err == nil && len(a.Retry) > MaxBatchTransactions {
				t.Fatalf("%d positions", len(a.Retry))
			}
		}
		var answer peerv1.FetchBlocksResponse
		if newCodec().Unmarshal(data, &answer) == nil {
			_, _ = decodeChunk(&answer)
		}
	})
}

func (c *cluster) fetchGreeting() *peerv1.Handshake {
	return &peerv1.Handshake{ProtocolVersion: ProtocolVersion, ChainId: c.committee.Domain.ChainID}
}
