package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
)

// nodeInfo is cairn.v1.NodeService.
type nodeInfo struct {
	cairnv1.UnimplementedNodeServiceServer
	*Server
}

// GetChain reads the chain's parameters.
func (n nodeInfo) GetChain(context.Context, *cairnv1.GetChainRequest) (*cairnv1.Chain, error) {
	var params ledger.Params // what only the ledger has stays empty with another application
	memo := uint32(0)
	if n.ledger != nil {
		params, memo = n.ledger.Params(), ledger.MaxMemoBytes
	}
	tip := n.store.Tip()
	return &cairnv1.Chain{
		ChainId:          n.genesis.ChainID,
		GenesisHash:      n.hash.String(),
		CommitRule:       n.genesis.Rule.String(),
		Election:         n.genesis.Election.String(),
		ContiguousRounds: uint64(n.genesis.ContiguousRounds),
		AddressPrefix:    params.AddressPrefix,
		MinimumFee:       params.MinimumFee,
		Limits: &cairnv1.Limits{
			MaxTransactionBytes:  consensus.MaxTransactionBytes,
			MaxBlockBytes:        consensus.MaxBlockBytes,
			MaxBlockTransactions: consensus.MaxBlockTransactions,
			MaxMemoBytes:         memo,
			MaxAccountPending:    uint32(n.pool.Stats().Limits.PerAccount),
			MaxPageSize:          uint32(n.limits.PageSize),
			MaxWait:              durationpb.New(n.limits.SubmitWaitMax),

			MaxSubmissionTransactions: MaxSubmissionTransactions,
		},
		Epoch:  uint64(tip.Epoch),
		Faucet: params.Faucet,
		Height: uint64(tip.Height),
	}, nil
}

// GetStatus reads how the node fares.
func (n nodeInfo) GetStatus(context.Context, *cairnv1.GetStatusRequest) (*cairnv1.NodeStatus, error) {
	tip, c := n.store.Tip(), n.condition()
	out := &cairnv1.NodeStatus{
		Version:          n.cfg.Version,
		Name:             n.cfg.Name,
		Role:             cairnv1.NodeRole_LISTENER,
		Height:           uint64(tip.Height),
		Epoch:            uint64(tip.Epoch),
		CommittedBlockId: tip.ID.String(),
		ConnectedPeers:   uint32(len(n.connected())),
		Ready:            c.ready,
		Reasons:          c.reasons,
		MissingVoters:    idTexts(c.missing),
	}
	if !n.cfg.Self.IsZero() {
		out.ValidatorId = n.cfg.Self.String()
	}
	if n.genesis.Validators.Contains(n.cfg.Self) {
		out.Role = cairnv1.NodeRole_VALIDATOR
	}
	if last := n.progress.lastCommit(); !last.IsZero() {
		out.LastCommitTime = last.UnixMilli()
	}
	if n.isListener() {
		out.HighQcRound = uint64(n.highQC().Round())
	}
	if status := n.cfg.Status(); status != nil {
		out.Round = uint64(status.Round)
		out.Leader = status.Leader.String()
		out.HighQcRound = uint64(n.highQC().Round())
		if status.HighTC != nil {
			out.HighTcRound = uint64(status.HighTC.Round)
		}
	}
	return out, nil
}

// GetSyncStatus reads how far the node has caught up.
func (n nodeInfo) GetSyncStatus(context.Context, *cairnv1.GetSyncStatusRequest) (*cairnv1.SyncStatus, error) {
	tip, target := n.store.Tip(), n.highest()
	out := &cairnv1.SyncStatus{
		Synced: true, CurrentHeight: uint64(tip.Height), TargetHeight: uint64(target.Height), TargetRound: uint64(target.Round),
		Peers: idTexts(n.fetching()),
	}
	if n.isListener() {
		if status := n.cfg.Upstream.Status(); status.Upstream != "" {
			out.Upstream = &cairnv1.FollowedUpstream{Address: status.Upstream, SinceTime: status.Since.UnixMilli()}
		}
	}
	out.Synced = !n.catchesUp()
	if out.Synced {
		return out, nil
	}
	rate, eta := n.progress.pace(n.now(), target.Height)
	if out.BlocksPerSecond = rate; eta > 0 {
		out.Eta = durationpb.New(eta)
	}
	return out, nil
}

// GetValidatorSet reads a validator set: in the chain's one epoch, that of genesis.
func (n nodeInfo) GetValidatorSet(ctx context.Context, req *cairnv1.GetValidatorSetRequest) (*cairnv1.ValidatorSet, error) {
	if req.Height != nil && req.Epoch != nil {
		return nil, invalid(cairnv1.ErrorReason_MALFORMED_REQUEST, "epoch", "only one of height and epoch may be given")
	}
	r, err := n.reading(ctx, req.GetMinHeight())
	if err != nil {
		return nil, err
	}
	defer r.Release()
	if req.Epoch != nil && req.GetEpoch() != uint64(n.epoch) || req.GetHeight() > uint64(r.Height())+1 {
		return nil, fail(cairnv1.ErrorReason_VALIDATOR_SET_NOT_FOUND, "the validator set is not known; the node is at height %d of epoch %d",
			r.Height(), r.Info.Epoch).with("height", r.Height()).with("epoch", r.Info.Epoch)
	}
	out := toValidatorSet(n.genesis.Validators, n.epoch)
	out.Height = uint64(r.Height())
	return out, nil
}
