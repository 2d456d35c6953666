package consensus

import (
	"crypto/sha256"

	"github.com/cairnchain/cairn/consensus/canonical"
)

// Domain separates signatures: one made under a Domain verifies under no other (P2).
type Domain struct {
	ChainID string
	Genesis Hash // hash of the genesis document
	Rule    CommitRule
	Epoch   Epoch
}

// The kinds of signed messages and hashed values. Each is the first field of its canonical bytes.
const (
	kindVote      = "cairn/vote/v1"
	kindTimeout   = "cairn/timeout/v1"
	kindProposal  = "cairn/proposal/v1"
	kindBlock     = "cairn/block/v1"
	kindVoteData  = "cairn/vote-data/v1"
	kindGenesis   = "cairn/genesis/v1"
	kindGenesisID = "cairn/genesis-block/v1"
	kindSet       = "cairn/validator-set/v1"
	kindLeaf      = "cairn/history-leaf/v1"
	kindBytes     = "cairn/certificate/v1"
	kindEvidence  = "cairn/evidence/v1"
	kindClaim     = "cairn/claim/v1" // in our own memory only
	// kindTimeoutContent is of a hash that nobody signs.
	kindTimeoutContent = "cairn/timeout-content/v1"
)

// signing begins the bytes that a signature of this kind covers.
func (d Domain) signing(kind string) *canonical.Writer {
	w := canonical.NewWriter(1024)
	w.String(kind)
	w.String(d.ChainID)
	w.Fixed(d.Genesis[:])
	w.Uint8(uint8(d.Rule))
	w.Uint64(uint64(d.Epoch))
	return w
}

// hashOf hashes what write appends, under the domain string kind.
func hashOf(kind string, write func(*canonical.Writer)) Hash {
	w := canonical.NewWriter(1024)
	w.String(kind)
	write(w)
	return sha256.Sum256(w.Bytes())
}

// RoundTraceID is the OpenTelemetry trace id of a round: the first 16 bytes of SHA-256 over "round", the chain id, the
// epoch and the round. Every validator derives the same one, so a round is one trace with nothing on the wire.
func RoundTraceID(chainID string, epoch Epoch, round Round) (id [16]byte) {
	w := canonical.NewWriter(128)
	w.String("round")
	w.String(chainID)
	w.Uint64(uint64(epoch))
	w.Uint64(uint64(round))
	sum := sha256.Sum256(w.Bytes())
	copy(id[:], sum[:])
	return id
}
