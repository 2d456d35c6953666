package follow_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
)

// shuttingDown is what a node that stops says.
var shuttingDown = &errdetails.ErrorInfo{Reason: cairnv1.ErrorReason_SHUTTING_DOWN.String(), Domain: "cairn"}

// A call goes to one upstream after the other until one answers, be it by a refusal, which is passed on as it is.
func TestCallGoesOn(t *testing.T) {
	w := newWorld(t, "calls", consensus.TwoChain)
	fakes := []*fake{w.upstream(t, nil), w.upstream(t, nil), w.upstream(t, nil)}
	f, err := follow.New(follow.Config{
		Upstreams: []string{fakes[0].address, fakes[1].address, fakes[2].address}, Verifier: w.verifier, Store: w.open(t.TempDir()),
		App: counter.Counter{},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.SetForwardOrder(1)
	var mu sync.Mutex
	var asked []int
	answer := func(i int, f func(string) error) {
		fakes[i].mu.Lock()
		defer fakes[i].mu.Unlock()
		fakes[i].answer = func(method string) error {
			mu.Lock()
			asked = append(asked, i)
			mu.Unlock()
			return f(method)
		}
	}
	honest := func(string) error { return nil }
	stops := func(string) error {
		st, err := status.New(codes.Unavailable, "stopping").WithDetails(shuttingDown)
		if err != nil {
			return err
		}
		return st.Err()
	}
	hangs := func(string) error {
		<-t.Context().Done()
		return t.Context().Err()
	}
	call := func() ([]int, error) {
		mu.Lock()
		asked = nil
		mu.Unlock()
		err := f.Call(t.Context(), 300*time.Millisecond, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := cairnv1.NewBlockServiceClient(conn).GetBlock(ctx, &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Height{Height: 77}})
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked), err
	}
	for _, c := range []struct {
		name    string
		answers [3]func(string) error
		want    []int
		reason  cairnv1.ErrorReason_Value
	}{
		{"the followed one first", [3]func(string) error{honest, honest, honest}, []int{1}, cairnv1.ErrorReason_BLOCK_NOT_FOUND},
		{"the next when it is gone", [3]func(string) error{honest, unavailable, honest}, []int{1, 0}, cairnv1.ErrorReason_BLOCK_NOT_FOUND},
		{"the next when it stops", [3]func(string) error{unavailable, stops, honest}, []int{1, 0, 2}, cairnv1.ErrorReason_BLOCK_NOT_FOUND},
		{"the next when it hangs", [3]func(string) error{honest, hangs, honest}, []int{1, 0}, cairnv1.ErrorReason_BLOCK_NOT_FOUND},
		{"nobody", [3]func(string) error{unavailable, stops, unavailable}, []int{1, 0, 2}, cairnv1.ErrorReason_UNSPECIFIED},
	} {
		for i, a := range c.answers {
			answer(i, a)
		}
		got, err := call()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: asked %v, want %v", c.name, got, c.want)
		}
		if c.reason == cairnv1.ErrorReason_UNSPECIFIED {
			if !errors.Is(err, follow.ErrUnreachable) {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if client.ReasonOf(client.FromError(err)) != c.reason {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestCallEnds: no other upstream is asked once the call says that it is enough.
func TestCallEnds(t *testing.T) {
	w := newWorld(t, "ends", consensus.TwoChain)
	f, err := follow.New(follow.Config{
		Upstreams: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}, Verifier: w.verifier, Store: w.open(t.TempDir()), App: counter.Counter{},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tries := range 5 {
		calls := 0
		err := f.Call(t.Context(), time.Second, func(context.Context, grpc.ClientConnInterface) error {
			if calls++; calls > tries {
				return follow.ErrUnreachable
			}
			return status.Error(codes.Unavailable, "down")
		})
		if want := min(tries+1, 3); calls != want || !errors.Is(err, follow.ErrUnreachable) {
			t.Errorf("after %d tries: %d calls, want %d: %v", tries, calls, want, err)
		}
	}
}

// Liars are handed nothing.
func TestCallAvoidsLiars(t *testing.T) {
	w := newWorld(t, "liar", consensus.TwoChain)
	links := w.grow(w.root(), 5, "a")
	liar := w.upstream(t, links)
	liar.lies(from(3, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
		m.GetCanonical().Proof = nil
		return []*cairnv1.StreamCommitsResponse{m}
	}))
	l := w.listen(t, t.TempDir(), follow.Checkpoint{}, liar.address)
	l.until("it is caught", func() bool { return l.left(follow.Lie, liar.address) == 1 })
	err := l.follower.Call(t.Context(), time.Second, func(context.Context, grpc.ClientConnInterface) error {
		t.Error("the liar is asked")
		return nil
	})
	if !errors.Is(err, follow.ErrUnreachable) {
		t.Error(err)
	}
}
