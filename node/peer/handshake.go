package peer

import (
	"context"
	"encoding/hex"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

// HandshakeError says in which field two peers do not agree.
type HandshakeError struct {
	Field  string // "protocol version", "chain id", "genesis hash" or "validator id"
	Ours   string // of the validator id: what its key says
	Theirs string
}

// Error names both values.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("%s: ours is %s, theirs is %s", e.Field, e.Ours, e.Theirs)
}

// shown bounds what of a peer's text or bytes is repeated in an error.
const shown = 64

func (n *Network) hello() *peerv1.Handshake {
	return &peerv1.Handshake{
		ProtocolVersion: ProtocolVersion,
		ChainId:         n.cfg.ChainID,
		GenesisHash:     n.cfg.Genesis[:],
		ValidatorId:     n.cfg.Self[:],
		Life:            n.life,
	}
}

// checkHello compares the other side's handshake with ours; key is whom its TLS key belongs to. The error is a
// *HandshakeError, or ErrMalformed when the frame is no handshake.
func (n *Network) checkHello(theirs *peerv1.Handshake, key consensus.ValidatorID) error {
	switch {
	case theirs == nil:
		return fmt.Errorf("%w: the first one is no handshake", ErrMalformed)
	case theirs.ProtocolVersion != ProtocolVersion:
		return &HandshakeError{"protocol version", fmt.Sprint(ProtocolVersion), fmt.Sprint(theirs.ProtocolVersion)}
	case theirs.ChainId != n.cfg.ChainID:
		return &HandshakeError{"chain id", fmt.Sprintf("%q", n.cfg.ChainID), fmt.Sprintf("%.*q", shown, theirs.ChainId)}
	case string(theirs.GenesisHash) != string(n.cfg.Genesis[:]):
		return &HandshakeError{"genesis hash", n.cfg.Genesis.String(), shownHex(theirs.GenesisHash)}
	case string(theirs.ValidatorId) != string(key[:]):
		return &HandshakeError{"validator id", key.String(), shownHex(theirs.ValidatorId)}
	}
	return nil
}

func shownHex(b []byte) string {
	if len(b) == 0 {
		return "empty"
	}
	return hex.EncodeToString(b[:min(len(b), shown)])
}

// channel is one of the streams between two peers.
type channel int

const (
	consensusChannel channel = iota
	mempoolChannel
	channelCount
)

// String is for errors.
func (c channel) String() string {
	if c == mempoolChannel {
		return "mempool"
	}
	return "consensus"
}

// frame is what both streams' frames have in common.
type frame interface {
	proto.Message
	GetHandshake() *peerv1.Handshake
}

// blank returns an empty frame to receive into.
func (c channel) blank() frame {
	if c == mempoolChannel {
		return &peerv1.MempoolFrame{}
	}
	return &peerv1.ConsensusFrame{}
}

// greeting returns the first frame of a side.
func (c channel) greeting(h *peerv1.Handshake) frame {
	if c == mempoolChannel {
		return &peerv1.MempoolFrame{Frame: &peerv1.MempoolFrame_Handshake{Handshake: h}}
	}
	return &peerv1.ConsensusFrame{Frame: &peerv1.ConsensusFrame_Handshake{Handshake: h}}
}

// open opens the stream on a connection.
func (c channel) open(ctx context.Context, conn *grpc.ClientConn) (grpc.ClientStream, error) {
	client := peerv1.NewPeerServiceClient(conn)
	if c == mempoolChannel {
		return client.Mempool(ctx)
	}
	return client.Consensus(ctx)
}
