package rpc

import (
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
)

func TestNewRefuses(t *testing.T) {
	good := start(t).server.cfg
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no store":         func(c *Config) { c.Store = nil },
		"no pool":          func(c *Config) { c.Pool = nil },
		"no genesis":       func(c *Config) { c.Genesis = nil },
		"negative number":  func(c *Config) { c.Limits.Streams = -1 },
		"negative time":    func(c *Config) { c.Limits.Heartbeat = -1 },
		"generous faucet":  func(c *Config) { c.Faucet = &Faucet{Amount: 2, Maximum: 1} },
		"negative timeout": func(c *Config) { c.Limits.RequestTimeout = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if s, err := New(cfg); err == nil || s != nil {
			t.Errorf("%s: taken", name)
		}
	}
	bare := Config{Store: good.Store, Pool: good.Pool, Ledger: good.Ledger, Genesis: good.Genesis}
	s := must(New(bare))
	if c := s.condition(); c.ready {
		t.Error("ready without an engine")
	}
	if s.limits.StreamsPerAddress != 50 || s.limits.Streams != 10_000 || s.limits.PageSize != 1000 || s.limits.MaxRequest != 1<<20 ||
		s.limits.SubmitWaitMax != 30*time.Second || s.limits.Heartbeat != 15*time.Second {
		t.Errorf("defaults %+v", s.limits)
	}
}

func TestRequestSize(t *testing.T) {
	const limit = 1000
	f := start(t, limited(func(l *Limits) { l.MaxRequest = limit }))
	overhead := proto.Size(&cairnv1.GetAccountRequest{Address: strings.Repeat("a", limit-10)}) - (limit - 10)
	for size, reason := range map[int]cairnv1.ErrorReason_Value{
		limit - 1:        cairnv1.ErrorReason_INVALID_ADDRESS,
		limit:            cairnv1.ErrorReason_INVALID_ADDRESS,
		limit + 1:        cairnv1.ErrorReason_REQUEST_TOO_LARGE,
		wallFactor * 999: cairnv1.ErrorReason_REQUEST_TOO_LARGE,
	} {
		req := &cairnv1.GetAccountRequest{Address: strings.Repeat("a", size-overhead)}
		if proto.Size(req) != size {
			t.Fatalf("%d bytes, want %d", proto.Size(req), size)
		}
		_, err := f.accounts.GetAccount(t.Context(), req)
		if d := wantReason(t, err, reason); len(d.message) > 200 {
			t.Errorf("the error repeats the request: %q", d.message)
		}
	}
}

func TestSubmitRate(t *testing.T) {
	now := time.Unix(1000, 0)
	f := start(t, configured(func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Limits = Limits{SubmitRate: 2, SubmitBurst: 3}
	}))
	from := func(address string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), forwardedFor, address)
	}
	sequence := uint64(0)
	submit := func(address string) error {
		_, err := f.submit(from(address), f.transfer(0, sequence), 0)
		if err == nil {
			sequence++
		}
		return err
	}
	for range 3 {
		if err := submit("192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	d := wantReason(t, submit("192.0.2.1"), cairnv1.ErrorReason_RATE_LIMITED)
	if d.retry != 500*time.Millisecond {
		t.Errorf("RetryInfo %v", d.retry)
	}
	if err := submit("192.0.2.2"); err != nil {
		t.Error("another client:", err)
	}
	now = now.Add(d.retry - time.Millisecond)
	wantReason(t, submit("192.0.2.1"), cairnv1.ErrorReason_RATE_LIMITED)
	now = now.Add(time.Millisecond)
	if err := submit("192.0.2.1"); err != nil {
		t.Error("after the time that was named:", err)
	}
	wantReason(t, submit("192.0.2.1"), cairnv1.ErrorReason_RATE_LIMITED)
	if sequence != 5 {
		t.Errorf("%d were taken", sequence)
	}
}

// Over any time, a client gets no more than the burst and the rate.
func TestBucketsHoldTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		rate, burst := rapid.Float64Range(0.1, 100).Draw(t, "rate"), rapid.IntRange(1, 20).Draw(t, "burst")
		b := newBuckets(rate, burst, func() time.Time { return now })
		began, taken := now, 0
		for range rapid.IntRange(1, 200).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.Int64Range(-1e7, 1e9).Draw(t, "ns")))
			retry, ok := b.take("a")
			if ok {
				taken++
			} else if retry <= 0 {
				t.Fatalf("refused, and retry is %v", retry)
			}
			if most := float64(burst) + rate*max(0, now.Sub(began).Seconds())*1.2 + 1e-6 + rate*2; float64(taken) > most {
				t.Fatalf("%d taken after %v, at most %v are due", taken, now.Sub(began), most)
			}
		}
	})
}

func TestBucketsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBuckets(1, 2, func() time.Time { return now })
	for n := range maxBuckets {
		b.take(fmt.Sprint(n))
	}
	for n := range 2 { // the newcomers draw on one bucket
		if _, ok := b.take(fmt.Sprint("newcomer ", n)); !ok {
			t.Fatal("refused")
		}
	}
	if _, ok := b.take("another newcomer"); ok || len(b.of) != maxBuckets {
		t.Errorf("taken; %d buckets", len(b.of))
	}
	now = now.Add(time.Hour) // all are full again
	if _, ok := b.take("another newcomer"); !ok || len(b.of) != 1 {
		t.Errorf("refused; %d buckets", len(b.of))
	}
	if _, ok := newBuckets(-1, 0, time.Now).take("a"); !ok {
		t.Error("a negative rate is none")
	}
}

func TestQuota(t *testing.T) {
	q := newQuota(2)
	first, _ := q.take()
	if _, ok := q.take(); !ok {
		t.Fatal("no room for the second")
	}
	if _, ok := q.take(); ok {
		t.Fatal("room for a third")
	}
	first()
	first() // is a no-op
	if _, ok := q.take(); !ok {
		t.Fatal("no room after a release")
	}
	if _, ok := q.take(); ok {
		t.Fatal("room for a third")
	}
}

func TestClientOf(t *testing.T) {
	tcp := func(text string) net.Addr { return must(net.ResolveTCPAddr("tcp", text)) }
	memory := &net.UnixAddr{Net: "unix"}
	for _, c := range []struct {
		caller    net.Addr
		forwarded []string
		want      string
	}{
		{tcp("192.0.2.1:1000"), nil, "192.0.2.1"},
		{tcp("192.0.2.1:1000"), []string{"198.51.100.7"}, "192.0.2.1"}, // not believed
		{tcp("127.0.0.1:1000"), []string{"198.51.100.7"}, "198.51.100.7"},
		{tcp("127.0.0.1:1000"), []string{"10.0.0.1, 198.51.100.7"}, "198.51.100.7"}, // the first is the client's own word
		{tcp("127.0.0.1:1000"), []string{"10.0.0.1", "198.51.100.7"}, "198.51.100.7"},
		{tcp("127.0.0.1:1000"), []string{"nonsense"}, "127.0.0.1"},
		{tcp("127.0.0.1:1000"), nil, "127.0.0.1"},
		{tcp("[::1]:1000"), []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2::/64"},
		{tcp("[2001:db8:1:2::9]:1000"), nil, "2001:db8:1:2::/64"},
		{tcp("[::ffff:192.0.2.1]:1000"), nil, "192.0.2.1"},
		{memory, []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{memory, nil, "unix"},
	} {
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: c.caller})
		if c.forwarded != nil {
			ctx = metadata.NewIncomingContext(ctx, metadata.MD{forwardedFor: c.forwarded})
		}
		s := &Server{cfg: Config{Forwarder: isLocal}}
		if got := s.clientOf(ctx); got != c.want {
			t.Errorf("%v, forwarded for %q, is %q, want %q", c.caller, c.forwarded, got, c.want)
		}
	}
	if got := (&Server{}).clientOf(t.Context()); got != "unknown" {
		t.Errorf("nobody is %q", got)
	}
}

// The whole over real TCP.
func TestLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, func(o *options) { o.listener = tcpListener{l} })
	stream := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{})
	f.heartbeat(stream)
	tx := f.transfer(0, 0)
	f.mustSubmit(tx)
	f.commitPending()
	f.next(stream, 1)
	if got := f.get(tx.ID().String()); got.GetState() != committed {
		t.Errorf("%v", got)
	}
}

type tcpListener struct{ net.Listener }

func (l tcpListener) DialContext(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, l.Addr().Network(), l.Addr().String())
}

func TestNumbersAtTheirEdges(t *testing.T) {
	f := start(t)
	f.commit()
	ctx := t.Context()
	for _, n := range []uint64{2, 1<<53 + 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		_, err := f.blocks.GetBlock(ctx, byHeight(n))
		wantReason(t, err, cairnv1.ErrorReason_BLOCK_NOT_FOUND)
		_, err = f.node.GetValidatorSet(ctx, &cairnv1.GetValidatorSetRequest{Height: proto.Uint64(n + 1)})
		if n == math.MaxUint64 { // overflows to genesis
			if err != nil {
				t.Error(err)
			}
		} else {
			wantReason(t, err, cairnv1.ErrorReason_VALIDATOR_SET_NOT_FOUND)
		}
		if n > 2 {
			wantReason(t, f.streamError(ctx, &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(n)}), cairnv1.ErrorReason_HEIGHT_NOT_REACHED)
			_, err = f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(0), Amount: n})
			wantReason(t, err, cairnv1.ErrorReason_MALFORMED_REQUEST)
		}
		stream := f.follow(ctx, &cairnv1.StreamCommitsRequest{ResumeToken: f.server.resumeToken(consensus.Height(n))})
		f.heartbeat(stream)
	}
}
