package peer

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

// ErrMalformed says that a peer sent a frame that cannot be read, is too large or is out of place.
var ErrMalformed = errors.New("malformed frame")

// encodeMessage returns the frame of a message.
func encodeMessage(m *consensus.Message) encoded {
	out := &peerv1.ConsensusMessage{SyncInfo: m.Sync.Encode()}
	switch {
	case m.Compact != nil:
		out.Body = &peerv1.ConsensusMessage_CompactProposal{CompactProposal: m.Compact.Encode()}
	case m.Proposal != nil:
		out.Body = &peerv1.ConsensusMessage_Proposal{Proposal: m.Proposal.Encode()}
	case m.Vote != nil:
		out.Body = &peerv1.ConsensusMessage_Vote{Vote: m.Vote.Encode()}
	case m.Timeout != nil:
		out.Body = &peerv1.ConsensusMessage_Timeout{Timeout: m.Timeout.Encode()}
	}
	return marshalFrame(&peerv1.ConsensusFrame{Frame: &peerv1.ConsensusFrame_Message{Message: out}})
}

func marshalFrame(f proto.Message) encoded {
	b, err := proto.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("peer: %v", err)) // bytes and numbers always marshal
	}
	return b
}

// decodeMessage reads a frame that follows the handshake, else ErrMalformed. Nothing is verified.
func decodeMessage(f *peerv1.ConsensusFrame) (*consensus.Message, error) {
	in := f.GetMessage()
	if in == nil {
		return nil, fmt.Errorf("%w: no message", ErrMalformed)
	}
	m := &consensus.Message{}
	var err, bodyErr error
	m.Sync, err = consensus.DecodeSyncInfo(in.SyncInfo)
	switch body := in.Body.(type) {
	case *peerv1.ConsensusMessage_Proposal:
		m.Proposal, bodyErr = consensus.DecodeProposal(body.Proposal)
	case *peerv1.ConsensusMessage_CompactProposal:
		m.Compact, bodyErr = consensus.DecodeCompactProposal(body.CompactProposal)
	case *peerv1.ConsensusMessage_Vote:
		m.Vote, bodyErr = consensus.DecodeVote(body.Vote)
	case *peerv1.ConsensusMessage_Timeout:
		m.Timeout, bodyErr = consensus.DecodeTimeout(body.Timeout)
	}
	if err := errors.Join(err, bodyErr); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}
