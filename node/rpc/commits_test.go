package rpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
)

type commitStream = grpc.ServerStreamingClient[cairnv1.StreamCommitsResponse]

// next receives a message that must be the commit of a height.
func (f *fixture) next(stream commitStream, height consensus.Height) *cairnv1.StreamCommitsResponse {
	f.t.Helper()
	m, err := stream.Recv()
	if err != nil {
		f.t.Fatal(err)
	}
	if m.Height == nil || m.GetHeight() != uint64(height) || m.GetBlock().GetHeight() != uint64(height) || m.GetResumeToken() == "" {
		f.t.Fatalf("got %v, want height %d", m, height)
	}
	return m
}

// heartbeat receives a message that must be a heartbeat.
func (f *fixture) heartbeat(stream commitStream) *cairnv1.StreamCommitsResponse {
	f.t.Helper()
	m, err := stream.Recv()
	if err != nil || m.Height != nil || m.GetBlock() != nil || m.GetResumeToken() == "" {
		f.t.Fatalf("got %v, %v, want a heartbeat", m, err)
	}
	return m
}

func TestStreamCatchesUpAndFollows(t *testing.T) {
	f := start(t)
	f.commit(f.transfer(0, 0).Encode())
	f.commit()
	for name, full := range map[string]bool{"headers": false, "full": true} {
		t.Run(name, func(t *testing.T) {
			stream := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(0), IncludeTransactions: full})
			if m := f.next(stream, 0); m.GetBlock().GetId() != f.store.Genesis().ID.String() {
				t.Errorf("genesis: %v", m)
			}
			m := f.next(stream, 1)
			if listed := len(m.GetBlock().GetTransactions()) == 1; listed != full || m.GetBlock().GetTransactionCount() != 1 {
				t.Errorf("height 1: %v", m)
			}
			for h := consensus.Height(2); h <= f.tip.Info.Height; h++ {
				f.next(stream, h)
			}
			for range 3 {
				block := f.commit()
				if m := f.next(stream, block.Info.Height); m.GetBlock().GetId() != block.Info.ID.String() {
					t.Errorf("got %v, committed %v", m, block.Info)
				}
			}
		})
	}
}

func TestStreamBeginsWhereItIsTold(t *testing.T) {
	f := start(t)
	f.commit()
	f.commit()
	for _, c := range []struct {
		name  string
		req   *cairnv1.StreamCommitsRequest
		first consensus.Height
		beat  bool
	}{
		{"at the next block", &cairnv1.StreamCommitsRequest{}, 3, true},
		{"at genesis", &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(0)}, 0, false},
		{"at the tip", &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(2)}, 2, false},
		{"above the tip", &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(3)}, 3, true},
		{"at a token", &cairnv1.StreamCommitsRequest{ResumeToken: f.server.resumeToken(1)}, 1, false},
		{"at a token, whatever the height", &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(99), ResumeToken: f.server.resumeToken(2)}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			stream := f.follow(t.Context(), c.req)
			if c.beat {
				if next := must(f.server.parseResumeToken(f.heartbeat(stream).GetResumeToken())); next != c.first {
					t.Errorf("the token leads to %d, want %d", next, c.first)
				}
				return
			}
			f.next(stream, c.first)
		})
	}
}

// The token of a node that is further makes a stream wait, also when commits pass that it does not want.
func TestStreamWaitsForItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		stream := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{ResumeToken: f.server.resumeToken(3)})
		token := f.heartbeat(stream).GetResumeToken()
		f.commit()
		f.commit()
		began := time.Now()
		if m := f.heartbeat(stream); m.GetResumeToken() != token || time.Since(began) != DefaultHeartbeat {
			t.Errorf("%v after %v", m, time.Since(began))
		}
		f.commit()
		f.next(stream, 3)
		f.commit()
		f.next(stream, 4)
	})
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		stream := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{})
		f.heartbeat(stream)
		last := time.Now()
		for range 3 {
			f.heartbeat(stream)
			if silence := time.Since(last); silence != DefaultHeartbeat {
				t.Errorf("a heartbeat after %v", silence)
			}
			last = time.Now()
		}
		pass(DefaultHeartbeat - time.Second)
		f.commit()
		token := f.next(stream, 1).GetResumeToken()
		last = time.Now()
		if m := f.heartbeat(stream); m.GetResumeToken() != token || time.Since(last) != DefaultHeartbeat {
			t.Errorf("%v, %v after a commit", m, time.Since(last))
		}
	})
}

// Readers that go away at random moments and resume see every height once, in order, while blocks are committed.
func TestReadersThatResumeSeeEveryHeightOnce(t *testing.T) {
	const heights, readers = 150, 6
	f := start(t)
	var group sync.WaitGroup
	resumed := make([]int, readers)
	for n := range readers {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		group.Go(func() { resumed[n] = readInPieces(f, rng, heights) })
	}
	for h := range heights {
		f.commit(f.transfer(0, uint64(h)).Encode())
	}
	group.Wait()
	if slices.Min(resumed) == 0 {
		t.Errorf("resumed %v times: the test did nothing", resumed)
	}
}

// readInPieces follows the chain from genesis to a height by streams that it cancels at random. It returns how many
// there were.
func readInPieces(f *fixture, rng *rand.Rand, last uint64) (streams int) {
	req, next := &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(0)}, uint64(0)
	for next <= last {
		streams++
		req.IncludeTransactions = rng.IntN(2) == 0
		ctx, cancel := context.WithCancel(f.t.Context())
		stream, err := f.blocks.StreamCommits(ctx, req)
		for pieces := rng.IntN(20); err == nil && pieces >= 0 && next <= last; pieces-- {
			var m *cairnv1.StreamCommitsResponse
			if m, err = stream.Recv(); err != nil {
				break
			}
			if m.Height != nil {
				if m.GetHeight() != next {
					f.t.Errorf("got height %d where %d is due", m.GetHeight(), next)
					next = last + 1
				}
				next++
			}
			req = &cairnv1.StreamCommitsRequest{ResumeToken: m.GetResumeToken()}
		}
		cancel()
		if err != nil {
			f.t.Error(err)
			return streams
		}
	}
	return streams - 1
}

// The end of a stream says where to resume, and no height is lost or repeated by it.
func TestShutdownEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		f.commit()
		idle := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{})
		f.heartbeat(idle)
		read := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(0)})
		f.next(read, 0)
		last := f.next(read, 1)
		synctest.Wait()
		began := time.Now()
		f.server.Shutdown()
		for _, stream := range []commitStream{idle, read} {
			_, err := stream.Recv()
			d := wantReason(t, err, cairnv1.ErrorReason_SHUTTING_DOWN)
			if d.code != codes.Unavailable || d.metadata["resumeToken"] != last.GetResumeToken() || d.metadata["resumeHeight"] != "2" {
				t.Errorf("%+v", d)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		f.grpc.GracefulStop() // has nothing to wait for
	})
}

// slowReader opens a stream over a connection of its own with small windows and does not read.
func (f *fixture) slowReader(l listener) commitStream {
	f.t.Helper()
	conn := f.dial(l, grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16), grpc.WithStaticStreamWindowSize(1<<16))
	stream, err := cairnv1.NewBlockServiceClient(conn).StreamCommits(f.t.Context(), &cairnv1.StreamCommitsRequest{
		FromHeight: proto.Uint64(1), IncludeTransactions: true,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return stream
}

// commitLarge commits blocks of about 100 kB as protobuf.
func (f *fixture) commitLarge(n int) {
	account, err := ledger.ReadAccount(f.store.State(), ledger.AddressOf(keyOf(0).Public()))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range uint64(n) {
		var txs []app.Tx
		for k := range uint64(100) {
			txs = append(txs, f.transfer(0, account.Sequence+100*i+k).Encode())
		}
		f.commit(txs...)
	}
}

func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 16)
		f := start(t, func(o *options) { o.listener = l })
		slow := f.slowReader(l)
		quick := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(1)})
		f.heartbeat(quick)
		f.commitLarge(20)
		for h := range consensus.Height(20) {
			f.next(quick, h+1)
		}
		pass(DefaultSendTimeout - time.Second)
		if open := f.openStreams(); open != 2 {
			t.Fatalf("%d streams are open", open)
		}
		pass(2 * time.Second)
		synctest.Wait()
		if open := f.openStreams(); open != 1 {
			t.Fatalf("%d streams are open", open)
		}
		// Whatever arrived before is whole and in order; the end says why, and never skips.
		next := consensus.Height(1)
		for {
			m, err := slow.Recv()
			if err != nil {
				d := wantReason(t, err, cairnv1.ErrorReason_STREAM_TOO_SLOW)
				if d.code != codes.Aborted || d.metadata["resumeHeight"] != fmt.Sprint(next) || d.metadata["resumeToken"] != f.server.resumeToken(next) {
					t.Errorf("height %d is due, the end is %+v", next, d)
				}
				break
			}
			if m.Height != nil {
				if m.GetHeight() != uint64(next) {
					t.Fatalf("height %d where %d is due", m.GetHeight(), next)
				}
				next++
			}
		}
		if next == 1 || next > 20 {
			t.Errorf("%d heights arrived: the reader was not slow", next-1)
		}
	})
}

// A reader that does not read does not keep the node from stopping.
func TestShutdownWithASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 16)
		f := start(t, func(o *options) { o.listener = l })
		f.slowReader(l)
		f.commitLarge(20)
		synctest.Wait()
		f.server.Shutdown()
		pass(endGrace + time.Millisecond)
		synctest.Wait()
		if open := f.openStreams(); open != 0 {
			t.Errorf("%d streams are open", open)
		}
	})
}

func TestClientThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		stream := f.follow(ctx, &cairnv1.StreamCommitsRequest{})
		f.heartbeat(stream)
		cancel()
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		synctest.Wait()
		if open := f.openStreams(); open != 0 {
			t.Errorf("%d streams are open", open)
		}
	})
}

func TestStreamLimits(t *testing.T) {
	f := start(t, limited(func(l *Limits) { l.Streams, l.StreamsPerAddress = 5, 3 }))
	from := func(address string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), forwardedFor, "203.0.113.9, "+address)
	}
	cancels := map[string]context.CancelFunc{}
	open := func(address string) {
		t.Helper()
		ctx, cancel := context.WithCancel(from(address))
		cancels[address] = cancel
		f.follow(ctx, &cairnv1.StreamCommitsRequest{})
	}
	refuse := func(address, limit string) {
		t.Helper()
		d := wantReason(t, f.streamError(from(address), &cairnv1.StreamCommitsRequest{}), cairnv1.ErrorReason_STREAM_LIMIT)
		if d.metadata["limit"] != limit || d.retry == 0 {
			t.Errorf("%+v", d)
		}
	}
	for range 3 {
		open("192.0.2.1")
	}
	refuse("192.0.2.1", "3")
	open("2001:db8::1")
	open("2001:db8::1")
	refuse("192.0.2.3", "5")
	cancels["2001:db8::1"]()
	for { // until the server has noticed
		stream, err := f.blocks.StreamCommits(from("2001:db8::2"), &cairnv1.StreamCommitsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err == nil {
			break
		}
	}
	refuse("2001:db8:0:1::1", "5")
}

func (f *fixture) openStreams() int { return f.server.OpenStreams() }
