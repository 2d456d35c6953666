package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

// Batch is transactions that a validator shares with another one.
type Batch struct {
	ID           uint64   // names it on its stream; not 0
	Transactions [][]byte // 1 to MaxBatchTransactions of 1 to consensus.MaxTransactionBytes bytes, at most maxFrameBodies together
	Again        bool     // it was sent before; it does not travel
}

// Acknowledgement is the answer to a batch.
type Acknowledgement struct {
	ID       uint64
	Accepted uint32        // how many the receiver holds now, or knows to be of no use any more
	Retry    []uint32      // the positions of those to be sent again, ascending
	BackOff  time.Duration // how long to rest before anything else is sent; it travels in whole milliseconds, rounded up
}

// maxFrameBodies bounds the transactions of a batch in bytes, so that it fits into a frame.
const maxFrameBodies = MaxFrameBytes - 64<<10

// share has the Node send its batches on a new stream.
func (l *link) share(ctx context.Context, stream grpc.ClientStream, restarted bool) error {
	return l.net.node.Share(ctx, l.to.ID, restarted, func(b Batch) error {
		if err := b.check(); err != nil {
			return err
		}
		if err := stream.SendMsg(encodeBatch(b)); err != nil {
			return err
		}
		cause := CauseShare
		if b.Again {
			cause = CauseResend
		}
		l.to.carried.add(cause, b.bytes())
		return nil
	})
}

func (b Batch) bytes() (n int) {
	for _, tx := range b.Transactions {
		n += len(tx)
	}
	return n
}

// check refuses what peers would.
func (b Batch) check() error {
	switch {
	case b.ID == 0:
		return errors.New("peer: a batch without an id")
	case len(b.Transactions) == 0 || len(b.Transactions) > MaxBatchTransactions:
		return fmt.Errorf("peer: batch of %d transactions, want 1 to %d", len(b.Transactions), MaxBatchTransactions)
	case b.bytes() > maxFrameBodies:
		return fmt.Errorf("peer: batch of %d bytes, want at most %d", b.bytes(), maxFrameBodies)
	}
	for _, tx := range b.Transactions {
		if len(tx) == 0 || len(tx) > consensus.MaxTransactionBytes {
			return fmt.Errorf("peer: transaction of %d bytes, want 1 to %d", len(tx), consensus.MaxTransactionBytes)
		}
	}
	return nil
}

// hearAnswers takes acknowledgements until the stream ends, and returns why it did. One that cannot be is a fault of the
// peer's, and only too many of them end the stream.
func (l *link) hearAnswers(stream grpc.ClientStream) error {
	for {
		f := &peerv1.MempoolFrame{}
		if err := stream.RecvMsg(f); err != nil {
			if errors.Is(err, io.EOF) {
				return errEnded
			}
			return err
		}
		a, err := decodeAcknowledgement(f)
		if err != nil {
			return err
		}
		if err := l.net.node.Acknowledged(l.to.ID, a); err != nil {
			if err := l.net.fault(l.to, faultInvalid, err); err != nil {
				return err
			}
		}
	}
}

// Mempool is part of the protocol: each batch is answered before the next one is read.
func (s server) Mempool(stream grpc.BidiStreamingServer[peerv1.MempoolFrame, peerv1.MempoolFrame]) error {
	return s.receive(stream, mempoolChannel, func(ctx context.Context, from *remote, f frame) error {
		b, err := decodeBatch(f.(*peerv1.MempoolFrame))
		if err != nil {
			return err
		}
		a, verdict := s.net.node.Transactions(ctx, from.ID, b.Transactions)
		if err := s.net.judge(ctx, from, verdict); err != nil {
			return err
		}
		a.ID = b.ID
		return stream.SendMsg(encodeAcknowledgement(a))
	})
}

// decodeBatch reads a frame that follows the handshake, else ErrMalformed. The codec has counted the entries.
func decodeBatch(f *peerv1.MempoolFrame) (Batch, error) {
	in := f.GetBatch()
	b := Batch{ID: in.GetId(), Transactions: in.GetTransactions()}
	if err := b.check(); err != nil {
		return Batch{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return b, nil
}

// encodeBatch returns the frame of a batch.
func encodeBatch(b Batch) encoded {
	return marshalFrame(&peerv1.MempoolFrame{
		Frame: &peerv1.MempoolFrame_Batch{Batch: &peerv1.Batch{Id: b.ID, Transactions: b.Transactions}},
	})
}

// decodeAcknowledgement reads a frame that follows the handshake in the return direction, else ErrMalformed. Whether it
// fits a batch is for the Node to say.
func decodeAcknowledgement(f *peerv1.MempoolFrame) (Acknowledgement, error) {
	in := f.GetAcknowledgement()
	if in == nil {
		return Acknowledgement{}, fmt.Errorf("%w: no acknowledgement", ErrMalformed)
	}
	return Acknowledgement{
		ID: in.Id, Accepted: in.Accepted, Retry: in.Retry, BackOff: time.Duration(in.BackOffMs) * time.Millisecond,
	}, nil
}

// encodeAcknowledgement returns the frame of an answer.
func encodeAcknowledgement(a Acknowledgement) encoded {
	back := (max(a.BackOff, 0) + time.Millisecond - 1) / time.Millisecond
	return marshalFrame(&peerv1.MempoolFrame{
		Frame: &peerv1.MempoolFrame_Acknowledgement{Acknowledgement: &peerv1.Acknowledgement{
			Id: a.ID, Accepted: a.Accepted, Retry: a.Retry, BackOffMs: uint32(min(back, math.MaxUint32)),
		}},
	})
}
