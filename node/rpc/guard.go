package rpc

import (
	"context"
	"sync"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// endGrace is how long a stream that has to end may take to finish the message at hand.
const endGrace = time.Second

// sending is the side of a stream on which messages go out.
type sending[T any] interface {
	Send(message *T) error
	Context() context.Context
}

// guard sees to it that a call ends although a send may hang on a reader that does not read.
type guard[T any] struct {
	server *Server
	stream sending[T]
	slow   *time.Timer   // runs during a send
	stuck  chan struct{} // closed when a send takes too long
}

func newGuard[T any](s *Server, stream sending[T]) *guard[T] {
	return &guard[T]{server: s, stream: stream, stuck: make(chan struct{})}
}

// run runs f, which sends, on a goroutine of its own and returns how it ended. f's context ends when the node stops; f
// has endGrace then. When a send takes too long the call ends without f.
func (g *guard[T]) run(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(g.stream.Context())
	defer cancel()
	g.slow = time.AfterFunc(g.server.limits.SendTimeout, sync.OnceFunc(func() { close(g.stuck) }))
	g.slow.Stop()
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-g.stuck:
		return g.tooSlow()
	case <-g.server.stopping:
	}
	cancel()
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case err := <-ended:
		return err
	case <-grace.C:
		return shuttingDown()
	}
}

// send sends one message. Only f may call it.
func (g *guard[T]) send(message *T) error {
	g.slow.Reset(g.server.limits.SendTimeout)
	defer g.slow.Stop()
	return g.stream.Send(message)
}

// ended is why f ends when its context has ended.
func (g *guard[T]) ended(ctx context.Context) error {
	if g.server.isStopping() {
		return shuttingDown()
	}
	return ctx.Err()
}

func (g *guard[T]) tooSlow() *failure {
	return fail(cairnv1.ErrorReason_STREAM_TOO_SLOW, "the reader made no room for a message for %v", g.server.limits.SendTimeout)
}
