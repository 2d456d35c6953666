package rpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// StreamSubmissions takes transactions as they come. What has arrived when the pool is free goes to it together: no
// timer, so a lone transaction does not wait, and a busy pool gets large batches.
func (t transactions) StreamSubmissions(stream grpc.BidiStreamingServer[cairnv1.StreamSubmissionsRequest, cairnv1.StreamSubmissionsResponse]) error {
	arrived(stream.Context()) // a client may open the stream before it has anything to say
	release, ok := t.posting.take()
	if !ok {
		return fail(cairnv1.ErrorReason_STREAM_LIMIT, "%d streams of submissions are open, as many as this node takes",
			maxSubmissionStreams).with("limit", maxSubmissionStreams)
	}
	defer release()
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	p := &poster{
		guard:  newGuard[cairnv1.StreamSubmissionsResponse](t.Server, stream),
		client: t.clientOf(stream.Context()),
		inbox:  newInbox(),
	}
	go p.inbox.fill(stream.Context(), stream.Recv) // ends with the stream at the latest
	return p.run(p.answer)
}

// poster answers one stream of submissions.
type poster struct {
	*guard[cairnv1.StreamSubmissionsResponse]
	client   string
	inbox    *inbox
	answered uint64
}

// answer answers what arrives, until the client has ended its side, the stream fails, or the node stops: then what has
// arrived is refused, and the stream ends.
func (p *poster) answer(ctx context.Context) error {
	for {
		txs, err := p.inbox.take(ctx)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			if ctx.Err() != nil {
				return p.ended(ctx)
			}
			return err
		}
		outcomes, err := p.outcomes(ctx, txs)
		if err != nil {
			return err
		}
		if err := p.send(&cairnv1.StreamSubmissionsResponse{FirstIndex: p.answered, Outcomes: outcomes}); err != nil {
			return err
		}
		p.answered += uint64(len(outcomes))
	}
}

func (p *poster) outcomes(ctx context.Context, txs []*cairnv1.SignedTransaction) ([]*cairnv1.SubmissionOutcome, error) {
	refusal := p.server.taking()
	if refusal == nil {
		return p.server.offerAll(ctx, p.client, txs)
	}
	out := newOutcomes(len(txs))
	for _, one := range out {
		p.server.outcomeOf(one, fate{}, refusal)
	}
	return out, nil
}

// inbox holds what a stream of submissions has received and nobody has answered. One goroutine fills it, one takes.
type inbox struct {
	mu      sync.Mutex
	arrived []arrival
	bytes   int   // of them
	end     error // how receiving ended

	filled  chan struct{} // a token: there is something, or the end
	emptied chan struct{} // a token: there is room again
}

type arrival struct {
	txs   []*cairnv1.SignedTransaction
	bytes int
}

func newInbox() *inbox {
	return &inbox{filled: make(chan struct{}, 1), emptied: make(chan struct{}, 1)}
}

// fill receives until that fails, reading on only while less than maxUnanswered waits.
func (b *inbox) fill(ctx context.Context, receive func() (*cairnv1.StreamSubmissionsRequest, error)) {
	for {
		m, err := receive()
		if err == nil {
			err = checkCount(m.GetTransactions())
		}
		room := b.put(m, err)
		signal(b.filled)
		if err != nil {
			return
		}
		for !room {
			select {
			case <-b.emptied:
			case <-ctx.Done():
				return
			}
			room = b.hasRoom()
		}
	}
}

func (b *inbox) put(m *cairnv1.StreamSubmissionsRequest, err error) (room bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.end = err
		return false
	}
	size := proto.Size(m)
	b.arrived = append(b.arrived, arrival{m.GetTransactions(), size})
	b.bytes += size
	return b.bytes < maxUnanswered
}

func (b *inbox) hasRoom() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes < maxUnanswered
}

// take waits for transactions and returns those that have arrived, of whole messages, until they are
// MaxSubmissionTransactions or more. When there are none and none will come, it returns why: io.EOF after the client's
// own end. What has arrived comes out also after ctx has ended.
func (b *inbox) take(ctx context.Context) ([]*cairnv1.SignedTransaction, error) {
	for {
		txs, err := b.takeNow()
		if len(txs) > 0 || err != nil {
			return txs, err
		}
		select {
		case <-b.filled:
		case <-ctx.Done():
			if txs, err := b.takeNow(); len(txs) > 0 || err != nil {
				return txs, err
			}
			return nil, ctx.Err()
		}
	}
}

func (b *inbox) takeNow() (txs []*cairnv1.SignedTransaction, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.arrived) == 0 {
		return nil, b.end
	}
	n := 0
	for ; n < len(b.arrived) && len(txs) < MaxSubmissionTransactions; n++ {
		if n == 0 {
			txs = b.arrived[0].txs
		} else {
			txs = append(txs, b.arrived[n].txs...)
		}
		b.bytes -= b.arrived[n].bytes
		b.arrived[n] = arrival{}
	}
	b.arrived = b.arrived[n:]
	signal(b.emptied)
	return txs, nil
}

// signal puts a token into a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
