package load

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// lanes post in order, one lane for each node.
type lanes struct {
	nodes
	patience time.Duration
	lane     func(lane)
}

// lane posts what a queue holds at one node.
type lane struct {
	node     *client.Client
	patience time.Duration
	queue    <-chan *transfer
	answered func([]answer)
}

func (lanes) keepsOrder() bool { return true }

func (l lanes) start(queues []chan *transfer, answered func([]answer)) func() {
	group := &errgroup.Group{}
	for place, queue := range queues {
		group.Go(func() error {
			l.lane(lane{l.nodes[place], l.patience, queue, answered})
			return nil
		})
	}
	return func() { _ = group.Wait() } // the lanes return nil
}

// gather returns first and what else waits in the queue, up to most.
func (l lane) gather(first *transfer, most int) []*transfer {
	runtime.Gosched() // whoever fills the queue may have more at hand
	all := append(make([]*transfer, 0, min(most, len(l.queue)+1)), first)
	for len(all) < most {
		select {
		case t, ok := <-l.queue:
			if !ok {
				return all
			}
			all = append(all, t)
		default:
			return all
		}
	}
	return all
}

// fail answers all with an error.
func (l lane) fail(all []*transfer, err error) {
	if len(all) == 0 {
		return
	}
	answers := make([]answer, len(all))
	for i, t := range all {
		answers[i] = answer{t, err}
	}
	l.answered(answers)
}

// failWaiting answers all that waits in the queue with an error, unsent: it would wait for a silent node one message after
// the other, each for the whole patience.
func (l lane) failWaiting(err error) {
	for {
		select {
		case t, ok := <-l.queue:
			if !ok {
				return
			}
			l.fail(l.gather(t, client.MaxSubmissions), err)
		default:
			return
		}
	}
}

// batchLane posts by SubmitTransactions, one call at a time.
func batchLane(l lane) {
	for first := range l.queue {
		all := l.gather(first, client.MaxSubmissions)
		signed := make([]*client.Signed, len(all))
		for i, t := range all {
			signed[i] = t.signed()
		}
		ctx, cancel := context.WithTimeout(context.Background(), l.patience)
		outcomes, err := l.node.SubmitAll(ctx, signed)
		cancel()
		answers := make([]answer, len(outcomes))
		for i, o := range outcomes {
			answers[i] = answer{all[i], o.Err}
			if o.Err == nil {
				answers[i].err = taken(o.State, 0)
			}
		}
		l.answered(answers)
		l.fail(all[len(outcomes):], err)
		if refusalOf(err).uncertain && err != nil {
			l.failWaiting(err)
		}
	}
}

// streamMessage is how many transfers go into one message: enough to share its cost, and few enough that the node
// begins with them soon.
const streamMessage = 100

// streamLane posts by StreamSubmissions. A stream that is lost is opened again for the next transfer.
func streamLane(l lane) {
	for first := range l.queue {
		s := session{lane: l, done: make(chan struct{})}
		if err := s.run(first); err != nil {
			l.failWaiting(err)
			// A node that is away refuses at once; it is not asked again as fast as that goes.
			_ = sleep(context.Background(), leastRest)
		}
	}
}

// session is one stream.
type session struct {
	lane
	done chan struct{} // closed when receiving has ended

	mu     sync.Mutex
	flying []*transfer // sent and not answered, in order
	heard  time.Time   // of the last answer, or since when there is something to answer
}

// run sends first and what the queue holds until that is closed or the stream ends, and returns why it ended when
// everything is answered.
func (s *session) run(first *transfer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	opening := time.AfterFunc(s.patience, cancel) // it waits for a connection
	stream, err := s.node.StreamSubmissions(ctx)
	if !opening.Stop() && err == nil {
		err = &client.Error{Code: codes.Unavailable, Message: "no stream within the patience"}
	}
	if err != nil {
		s.fail(s.gather(first, client.MaxSubmissions), err)
		return err
	}
	var ended error
	go func() {
		defer close(s.done)
		ended = s.receive(stream)
	}()
	go s.watch(cancel)
	s.send(stream, first)
	<-s.done
	s.fail(s.flying, ended)
	if errors.Is(ended, io.EOF) {
		return nil
	}
	return ended
}

// watch ends a stream on which the node is silent.
func (s *session) watch(cancel context.CancelFunc) {
	ticker := time.NewTicker(max(s.patience/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
			if s.isSilent() {
				cancel()
			}
		}
	}
}

// send posts until the queue is closed or the stream has ended.
func (s *session) send(stream *client.Submissions, first *transfer) {
	for {
		all := s.gather(first, streamMessage)
		wires := make([]*cairnv1.SignedTransaction, len(all))
		for i, t := range all {
			wires[i] = t.wire()
		}
		s.push(all)
		if stream.Send(wires...) != nil {
			return // receiving says why
		}
		var ok bool
		select {
		case first, ok = <-s.queue:
			if !ok {
				_ = stream.CloseSend() // receiving says what is wrong
				return
			}
		case <-s.done:
			return
		}
	}
}

func (s *session) push(all []*transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.flying) == 0 {
		s.heard = time.Now()
	}
	s.flying = append(s.flying, all...)
}

func (s *session) receive(stream *client.Submissions) error {
	for {
		_, outcomes, err := stream.Receive()
		if err != nil {
			return err
		}
		of := s.pop(len(outcomes))
		if len(of) < len(outcomes) {
			return &client.Error{Code: codes.Internal, Message: "the node answered more than it was sent"}
		}
		answers := make([]answer, len(of))
		for i, o := range outcomes {
			answers[i].of = of[i]
			if o.GetError() != nil {
				answers[i].err = client.OutcomeOf(o).Err
			} else {
				answers[i].err = taken(o.GetState(), 0)
			}
		}
		s.answered(answers)
	}
}

func (s *session) pop(n int) []*transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
	n = min(n, len(s.flying))
	of := s.flying[:n:n]
	s.flying = s.flying[n:]
	return of
}

// isSilent reports whether the node has answered nothing for long.
func (s *session) isSilent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.flying) > 0 && time.Since(s.heard) > s.patience
}
