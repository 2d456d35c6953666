package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

const (
	// maxMessage bounds a message of an upstream, in bytes: a full block with the certificates of 256 validators.
	maxMessage = 8 << 20
	// maxHeader bounds the metadata of an answer, errors with their details among them, in bytes.
	maxHeader = 64 << 10
	// pingAfter and pingTimeout find connections whose other end is gone without a word. A node allows a ping per 10 s.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
	// connectTimeout is how long one attempt to connect may take.
	connectTimeout = 3 * time.Second
	maxReconnect   = 5 * time.Second
)

// upstream is the connection with one. Safe for concurrent use.
type upstream struct {
	index   int
	address string
	conn    *grpc.ClientConn
	blocks  cairnv1.BlockServiceClient
	node    cairnv1.NodeServiceClient
}

func newUpstream(index int, address string) (*upstream, error) {
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, maxReconnect
	conn, err := client.Connect(address,
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithMaxHeaderListSize(maxHeader),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}))
	if err != nil {
		return nil, err
	}
	return &upstream{
		index: index, address: address, conn: conn,
		blocks: cairnv1.NewBlockServiceClient(conn), node: cairnv1.NewNodeServiceClient(conn),
	}, nil
}

// errItself: an address of this very node is among its upstreams.
var errItself = errors.New("it is this node itself; name another one in upstream.addresses")

// greet asks which chain the upstream serves, and who it is: the error wraps ErrWrongChain when it is of another chain, and
// is errItself when it is the node self. What it says proves nothing; it tells a wrong address from a lie.
func (u *upstream) greet(ctx context.Context, domain consensus.Domain, self consensus.ValidatorID) error {
	said, err := u.node.GetChain(ctx, &cairnv1.GetChainRequest{})
	if err != nil {
		return err
	}
	if said.GetChainId() != domain.ChainID || said.GetGenesisHash() != domain.Genesis.String() {
		return fmt.Errorf("%w: it serves %.64q with genesis %.64q, not %q with %v", ErrWrongChain, said.GetChainId(),
			said.GetGenesisHash(), domain.ChainID, domain.Genesis)
	}
	who, err := u.node.GetStatus(ctx, &cairnv1.GetStatusRequest{})
	if err == nil && !self.IsZero() && who.GetValidatorId() == self.String() {
		return errItself
	}
	return err
}

// highQC asks for the newest certificate. It is not verified; ErrMalformed when it is none.
func (u *upstream) highQC(ctx context.Context) (*consensus.QC, error) {
	said, err := u.blocks.GetQuorumCertificate(ctx, &cairnv1.GetQuorumCertificateRequest{})
	if err != nil {
		return nil, err
	}
	qc, err := readQC(said)
	if err != nil {
		return nil, fmt.Errorf("its newest certificate: %w: %w", ErrMalformed, err)
	}
	return qc, nil
}

// commits opens the commit stream at a height.
func (u *upstream) commits(ctx context.Context, from consensus.Height) (grpc.ServerStreamingClient[cairnv1.StreamCommitsResponse], error) {
	first := uint64(from)
	return u.blocks.StreamCommits(ctx, &cairnv1.StreamCommitsRequest{FromHeight: &first, Canonical: true})
}

// readQC reads a certificate as the API shows it. Nothing is verified.
func readQC(in *cairnv1.QuorumCertificate) (*consensus.QC, error) {
	var data consensus.VoteData
	for _, part := range []struct {
		from *cairnv1.BlockInfo
		into *consensus.BlockInfo
	}{{in.GetBlock(), &data.Block}, {in.GetParent(), &data.Parent}, {in.GetCommit(), &data.Commit}} {
		if part.from == nil {
			continue
		}
		var err error
		if *part.into, err = readInfo(part.from); err != nil {
			return nil, err
		}
	}
	signatures := make([]consensus.SignedBy, len(in.GetSignatures()))
	for i, s := range in.GetSignatures() {
		var err error
		if signatures[i].Signer, err = consensus.ParseValidatorID(s.GetValidator()); err != nil {
			return nil, err
		}
		if signatures[i].Signature, err = signature.Parse(s.GetSignature()); err != nil {
			return nil, err
		}
	}
	return consensus.NewQC(data, signatures), nil
}

func readInfo(in *cairnv1.BlockInfo) (consensus.BlockInfo, error) {
	out := consensus.BlockInfo{
		Epoch: consensus.Epoch(in.GetEpoch()), Round: consensus.Round(in.GetRound()), Height: consensus.Height(in.GetHeight()),
		Timestamp: consensus.Timestamp(in.GetTimestamp()),
	}
	for _, part := range []struct {
		from string
		into *consensus.Hash
	}{
		{in.GetId(), &out.ID}, {in.GetStateRoot(), &out.StateRoot}, {in.GetReceiptsRoot(), &out.ReceiptsRoot},
		{in.GetHistoryRoot(), &out.HistoryRoot}, {in.GetNextValidatorsHash(), &out.NextValidators},
	} {
		if part.from == "" && part.into == &out.NextValidators {
			continue
		}
		var err error
		if *part.into, err = consensus.ParseHash(part.from); err != nil {
			return consensus.BlockInfo{}, err
		}
	}
	return out, nil
}
