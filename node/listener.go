package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/newfile"
	"github.com/cairnchain/cairn/node/rpc"
	"github.com/cairnchain/cairn/storage"
)

// ErrListener says that a listener cannot do what only a validator can.
var ErrListener = errors.New("this node is a listener")

// UpstreamSettings are about nodes that are no validators: listeners.
type UpstreamSettings struct {
	Addresses         []string `key:"addresses" help:"gRPC APIs of nodes of the chain, host:port, http://host:port or https://host:port; a node whose key is of no validator follows one of them at a time, trusting none"`
	TrustedCheckpoint string   `key:"trusted-checkpoint" flag:"trusted-checkpoint" help:"height:id of a block that the chain of a listener must contain, from a source that is trusted; empty: genesis alone is trusted"`
}

func (u UpstreamSettings) validate(check settingCheck) {
	const key = "upstream.addresses"
	check(len(u.Addresses) <= follow.MaxUpstreams, key, "%d entries are more than %d", len(u.Addresses), follow.MaxUpstreams)
	seen := map[string]bool{}
	for i, address := range u.Addresses {
		err := client.CheckEndpoint(address)
		check(err == nil, key, "entry %d: %v", i, err)
		check(!seen[address], key, "entry %d, %q, stands there twice", i, address)
		seen[address] = true
	}
	_, err := u.checkpoint()
	check(err == nil, "upstream.trusted-checkpoint", "%v", err)
}

// checkpoint reads upstream.trusted-checkpoint.
func (u UpstreamSettings) checkpoint() (follow.Checkpoint, error) {
	if u.TrustedCheckpoint == "" {
		return follow.Checkpoint{}, nil
	}
	height, id, found := strings.Cut(u.TrustedCheckpoint, ":")
	h, err := strconv.ParseUint(height, 10, 64)
	if !found || err != nil || h == 0 {
		return follow.Checkpoint{}, fmt.Errorf("%q: want height:id, such as 4711:9c1f…, with a height above 0", u.TrustedCheckpoint)
	}
	hash, err := consensus.ParseHash(id)
	if err != nil || hash.IsZero() {
		return follow.Checkpoint{}, fmt.Errorf("%q: the id of a block is 64 lower-case hex digits", u.TrustedCheckpoint)
	}
	return follow.Checkpoint{Height: consensus.Height(h), ID: hash}, nil
}

// IsListener reports whether the node follows upstreams, for its key is of no validator.
func (n *Node) IsListener() bool { return !n.genesis.Validators.Contains(n.self) }

// checkRole refuses a key that is of no validator when there is nobody to follow.
func (n *Node) checkRole() error {
	if !n.IsListener() {
		return nil
	}
	if len(n.opts.Settings.Upstream.Addresses) == 0 {
		return fmt.Errorf("%w: the key in %s is of no validator of chain %s; to run a validator use the home that was made for "+
			"this chain, to run a listener name nodes to follow by --upstream-addresses or upstream.addresses in %s", ErrForeignKey,
			n.opts.Home.ValidatorKeyFile(), n.genesis.ChainID, n.opts.Home.SettingsFile())
	}
	if exists(n.opts.Home.DistrustFile()) {
		return fmt.Errorf("%w: %s says why, and holds the proofs; when that is understood remove it and %s, and start again, "+
			"with a trusted checkpoint", follow.ErrStopped, n.opts.Home.DistrustFile(), n.opts.Home.DataDir())
	}
	return nil
}

// openFollower is openNetwork and openEngine of a listener.
func (n *Node) openFollower() error {
	s := n.opts.Settings.Upstream
	checkpoint, err := s.checkpoint()
	if err != nil {
		return err
	}
	if checkpoint.IsNone() && n.store.Tip().Height == 0 {
		n.log.Warn("no trusted checkpoint is set: the chain is trusted for its genesis alone, and whoever holds old keys of " +
			"validators could show another one; give --trusted-checkpoint height:id from a source that you trust")
	}
	n.follower, err = follow.New(follow.Config{
		Upstreams: s.Addresses, Checkpoint: checkpoint, Store: n.store, App: n.app, Self: n.self,
		Verifier: &consensus.Verifier{
			Domain: n.genesis.Domain(), Set: n.genesis.Validators, Genesis: n.store.Genesis(),
			Scheme: signature.NewEd25519(), Cache: engine.NewCertificates(certificateMemory),
		},
		Committed: n.followed, Observe: n.telemetry.Follow,
	})
	if err != nil {
		return n.distrust(err)
	}
	n.onClose(n.follower.Close)
	return n.telemetry.RegisterFollow(n.follower.Status)
}

// followed tells of a durable block. It returns when the disk has room for the next one.
func (n *Node) followed(c storage.Commit, sequences []app.NextSequence) {
	ids := make([]consensus.Hash, len(c.Receipts))
	for i, r := range c.Receipts {
		ids[i] = r.ID
	}
	n.pool.Committed(ids, sequences, c.Info.Timestamp)
	note, at := core.Committed{Info: c.Info, Proof: c.Proof, Transactions: len(ids)}, time.Now()
	n.telemetry.Committed(at, note)
	if n.opts.Observer != nil {
		n.opts.Observer(at, note)
	}
	n.disk.awaitRoom()
}

// upstream is what the API of a listener has in place of an engine; nil for a validator.
func (n *Node) upstream() *rpc.Upstream {
	if n.follower == nil {
		return nil
	}
	return &rpc.Upstream{Status: n.follower.Status, Call: n.follower.Call}
}

// runFollower follows until ctx ends.
func (n *Node) runFollower(ctx context.Context) error { return n.distrust(n.follower.Run(ctx)) }

// DistrustFile is where a listener notes that its chain cannot be trusted. While it is there the listener does not start.
func (h Home) DistrustFile() string { return h.path("distrust.json") }

// distrust writes down why the chain cannot be trusted, if that is the error, and returns the error. The proofs are in
// hex, in the canonical encoding.
func (n *Node) distrust(err error) error {
	if !errors.Is(err, follow.ErrStopped) {
		return err
	}
	report := struct {
		Reason     string   `json:"reason"`
		OurProof   string   `json:"ourProof,omitempty"`
		TheirProof string   `json:"theirProof,omitempty"`
		Culprits   []string `json:"culprits,omitempty"`
	}{Reason: err.Error()}
	if conflict := (*follow.ConflictError)(nil); errors.As(err, &conflict) {
		proofs := []*consensus.QC{conflict.TheirProof}
		report.TheirProof = hex.EncodeToString(conflict.TheirProof.Encode())
		if conflict.OurProof != nil {
			report.OurProof = hex.EncodeToString(conflict.OurProof.Encode())
			proofs = append(proofs, conflict.OurProof)
		}
		for _, o := range consensus.Offences(n.genesis.Rule, proofs, nil) {
			report.Culprits = append(report.Culprits, o.String())
		}
	}
	content, failed := json.MarshalIndent(report, "", "  ")
	if failed != nil {
		panic(fmt.Sprintf("node: %v", failed)) // no field can fail to marshal
	}
	path := n.opts.Home.DistrustFile()
	return errors.Join(fmt.Errorf("%w; %s says more, and keeps this node from starting until it is removed together with %s",
		err, path, filepath.Base(n.opts.Home.DataDir())), newfile.Replace(path, append(content, '\n'), 0o644))
}
