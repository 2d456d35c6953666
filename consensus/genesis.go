package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
)

const (
	// MaxChainID is the longest chain id, in bytes.
	MaxChainID = 64
	// MaxContiguousRounds is the longest slot of a leader.
	MaxContiguousRounds = 64
)

// Genesis is the constants of a chain. Its hash is part of everything that is signed.
type Genesis struct {
	ChainID          string
	Rule             CommitRule
	ContiguousRounds Round // length of a leader's slot
	Election         Election
	Timestamp        Timestamp
	Validators       *ValidatorSet
	AppDocument      []byte // what app.App.Genesis reads; opaque here
}

// Validate says which field breaks which rule, or nil.
func (g *Genesis) Validate() error {
	switch {
	case g.ChainID == "" || len(g.ChainID) > MaxChainID:
		return fmt.Errorf("genesis: chain id %q must have 1 to %d bytes", g.ChainID, MaxChainID)
	case !g.Rule.IsKnown():
		return fmt.Errorf("genesis: unknown commit rule %v", g.Rule)
	case g.ContiguousRounds == 0 || g.ContiguousRounds > MaxContiguousRounds:
		return fmt.Errorf("genesis: contiguous rounds %d must be in 1…%d", g.ContiguousRounds, MaxContiguousRounds)
	case !g.Election.IsKnown():
		return fmt.Errorf("genesis: unknown election %v", g.Election)
	case g.Election == Reputation && g.ContiguousRounds < g.Rule.ContiguousRounds():
		// One live leader's slot must be enough to commit: else nothing might be, and the failures that the leaders are
		// judged by would stand still with the commits, whoever has died meanwhile.
		return fmt.Errorf("genesis: contiguous rounds %d are too few for %v under %v: at least %d", g.ContiguousRounds,
			g.Election, g.Rule, g.Rule.ContiguousRounds())
	case g.Timestamp <= 0:
		return fmt.Errorf("genesis: timestamp %d must be positive", g.Timestamp)
	case g.Validators == nil:
		return fmt.Errorf("genesis: no validators")
	}
	return nil
}

// Hash identifies the chain.
func (g *Genesis) Hash() Hash {
	return hashOf(kindGenesis, func(w *canonical.Writer) {
		w.String(g.ChainID)
		w.Uint8(uint8(g.Rule))
		w.Uint64(uint64(g.ContiguousRounds))
		w.Uint8(uint8(g.Election))
		w.Uint64(uint64(g.Timestamp))
		g.Validators.write(w)
		w.VarBytes(g.AppDocument)
	})
}

// Domain returns the signing domain of the chain's first epoch.
func (g *Genesis) Domain() Domain {
	return Domain{ChainID: g.ChainID, Genesis: g.Hash(), Rule: g.Rule, Epoch: FirstEpoch}
}

// Block returns the genesis block's info, given the state root that the app's genesis led to, and the history that
// holds it.
func (g *Genesis) Block(stateRoot Hash) (BlockInfo, History) {
	hash := g.Hash()
	info := BlockInfo{
		Epoch:        FirstEpoch,
		ID:           hashOf(kindGenesisID, func(w *canonical.Writer) { w.Fixed(hash[:]) }),
		StateRoot:    stateRoot,
		ReceiptsRoot: MerkleRoot(nil),
		Timestamp:    g.Timestamp,
	}
	history := History{}.Append(info.Leaf())
	info.HistoryRoot = history.Root()
	return info, history
}

// Leaf returns what the history tree says of this block.
func (b BlockInfo) Leaf() HistoryLeaf {
	return HistoryLeaf{ID: b.ID, StateRoot: b.StateRoot, ReceiptsRoot: b.ReceiptsRoot}
}
