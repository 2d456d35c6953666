package peer

import (
	"context"
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// fakeSharing is a fakeNode's part in sharing.
type fakeSharing struct {
	sharing      chan announcement
	answers      chan received // acknowledgements
	acknowledged func(Acknowledgement) error
	answer       func(txs [][]byte) (Acknowledgement, error)

	mu     sync.Mutex
	pushes map[consensus.ValidatorID]chan push
	ids    uint64
}

func newFakeSharing() fakeSharing {
	return fakeSharing{
		sharing: make(chan announcement, 4096),
		answers: make(chan received, 4096),
		pushes:  make(map[consensus.ValidatorID]chan push),
	}
}

// announcement is a call of Node.Share.
type announcement struct {
	to        consensus.ValidatorID
	restarted bool
}

// push is a batch for the stream to a peer.
type push struct {
	batch Batch
	done  chan error
}

func (f *fakeNode) Transactions(ctx context.Context, from consensus.ValidatorID, txs [][]byte) (Acknowledgement, error) {
	if f.transactions != nil {
		if err := f.transactions(ctx, from); err != nil {
			return Acknowledgement{}, err
		}
	}
	f.batches <- received{from: from, txs: txs}
	if f.answer != nil {
		return f.answer(txs)
	}
	return Acknowledgement{Accepted: uint32(len(txs))}, nil
}

// Share gives the stream what push is called with.
func (f *fakeNode) Share(ctx context.Context, to consensus.ValidatorID, restarted bool, send func(Batch) error) error {
	f.sharing <- announcement{to, restarted}
	for {
		select {
		case p := <-f.pushed(to):
			if err := send(p.batch); err != nil {
				p.done <- ErrNotConnected
				return err
			}
			p.done <- nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fakeNode) pushed(to consensus.ValidatorID) chan push {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pushes[to] == nil {
		f.pushes[to] = make(chan push)
	}
	return f.pushes[to]
}

// push waits until a stream to the peer has taken a batch, or has failed to: ErrNotConnected.
func (f *fakeNode) push(ctx context.Context, to consensus.ValidatorID, txs [][]byte) error {
	f.mu.Lock()
	f.ids++
	p := push{Batch{ID: f.ids, Transactions: txs}, make(chan error, 1)}
	f.mu.Unlock()
	select {
	case f.pushed(to) <- p:
		return <-p.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeNode) Acknowledged(from consensus.ValidatorID, a Acknowledgement) error {
	f.answers <- received{from: from, answer: a}
	if f.acknowledged != nil {
		return f.acknowledged(a)
	}
	return nil
}
