package consensus

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

var (
	// ErrInvalid says that a message or certificate contradicts itself or a rule.
	ErrInvalid = errors.New("invalid")
	// ErrWrongEpoch says that it belongs to another epoch.
	ErrWrongEpoch = errors.New("wrong epoch")
	// ErrUnknownSigner says that a signer is not in the validator set.
	ErrUnknownSigner = errors.New("unknown signer")
	// ErrBadSignature says that a signature does not verify.
	ErrBadSignature = errors.New("bad signature")
	// ErrNoQuorum says that the signers of a certificate are not a quorum.
	ErrNoQuorum = errors.New("no quorum")
)

// Verified is a message that was checked by a Verifier, signed by our own Identity, or assembled from Verified parts.
// Only this package can make one, so whoever takes a Verified cannot be handed an unchecked message.
type Verified[M any] struct {
	message M
	ok      bool
}

// Get returns the message. It panics on the zero Verified, which no check produced.
func (v Verified[M]) Get() M {
	if !v.ok {
		panic("consensus: use of a Verified that was never made")
	}
	return v.message
}

func verified[M any](m M) Verified[M] { return Verified[M]{message: m, ok: true} }

// CertificateCache remembers certificates and votes that verified, by the hash of all their bytes. Safe for concurrent
// use.
type CertificateCache interface {
	Contains(Hash) bool
	Add(Hash)
}

// Verifier checks messages of one epoch. Safe for concurrent use. Every error wraps one of ErrInvalid, ErrWrongEpoch,
// ErrUnknownSigner, ErrBadSignature or ErrNoQuorum, and means that the sender of the message is at fault.
type Verifier struct {
	Domain  Domain
	Set     *ValidatorSet
	Genesis BlockInfo // the parent of the epoch's first block
	Scheme  signature.Scheme
	Cache   CertificateCache // may be nil
}

// QC checks a certificate: consistent data, signers in the set, a quorum of power, every signature (P11). Of round 0
// only the epoch's own genesis certificate is accepted (P12).
func (v *Verifier) QC(q *QC) (Verified[*QC], error) {
	hash, items, err := v.open(q)
	if err != nil {
		return Verified[*QC]{}, err
	}
	if hash != (Hash{}) {
		if !v.Scheme.Verify(items) {
			return Verified[*QC]{}, fmt.Errorf("%v: %w", q, ErrBadSignature)
		}
		v.remember(hash)
	}
	return verified(q), nil
}

// open checks all of a certificate but its signatures. It returns those that are still to be verified, and under which
// hash the certificate is remembered then; the zero hash when it needs no more.
func (v *Verifier) open(q *QC) (Hash, []signature.Item, error) {
	if q.Round() == v.Genesis.Round {
		if !q.Same(GenesisQC(v.Genesis)) || len(q.Signatures) != 0 {
			return Hash{}, nil, fmt.Errorf("%v is not our genesis certificate: %w", q, ErrInvalid)
		}
		return Hash{}, nil, nil
	}
	if err := q.Data.check(v.Domain); err != nil {
		return Hash{}, nil, err
	}
	hash := q.contentHash(v.Domain)
	if v.known(hash) {
		return Hash{}, nil, nil
	}
	message := v.Domain.voteBytes(q.Data)
	items := make([]signature.Item, 0, len(q.Signatures))
	for _, s := range q.Signatures {
		items = append(items, signature.Item{Message: message, Signature: s.Signature})
	}
	if err := v.members(q.Signers(), items); err != nil {
		return Hash{}, nil, fmt.Errorf("%v: %w", q, err)
	}
	// Votes go to everybody, so most of the signatures were seen as votes.
	return hash, slices.DeleteFunc(items, func(i signature.Item) bool { return v.known(claimHash(i)) }), nil
}

// TC checks a certificate: its QC of a lower round, signers in the set, a quorum, each over its own (round, QC round),
// and the QC's round equal to the highest of those (P15).
func (v *Verifier) TC(t *TC) (Verified[*TC], error) {
	if t.Epoch != v.Domain.Epoch {
		return Verified[*TC]{}, fmt.Errorf("%v of epoch %d: %w", t, t.Epoch, ErrWrongEpoch)
	}
	if t.HighQC.Round() >= t.Round {
		return Verified[*TC]{}, fmt.Errorf("%v: its QC is not of a lower round: %w", t, ErrInvalid)
	}
	if _, err := v.QC(t.HighQC); err != nil {
		return Verified[*TC]{}, fmt.Errorf("%v: %w", t, err)
	}
	hash := t.contentHash(v.Domain)
	if v.known(hash) {
		return verified(t), nil
	}
	var highest Round
	items := make([]signature.Item, 0, len(t.Timeouts))
	for _, p := range t.Timeouts {
		highest = max(highest, p.QCRound)
		items = append(items, signature.Item{Message: v.Domain.timeoutBytes(t.Round, p.QCRound), Signature: p.Signature})
	}
	if highest != t.HighQC.Round() {
		return Verified[*TC]{}, fmt.Errorf("%v: highest signed QC round is %d: %w", t, highest, ErrInvalid)
	}
	if err := v.members(t.Signers(), items); err != nil {
		return Verified[*TC]{}, fmt.Errorf("%v: %w", t, err)
	}
	if !v.Scheme.Verify(items) {
		return Verified[*TC]{}, fmt.Errorf("%v: %w", t, ErrBadSignature)
	}
	v.remember(hash)
	return verified(t), nil
}

// members checks that signers are unique members with a quorum of power, and fills in the keys of their items.
func (v *Verifier) members(signers []ValidatorID, items []signature.Item) error {
	var power Power
	seen := make(map[ValidatorID]bool, len(signers))
	for i, id := range signers {
		member, ok := v.Set.Get(id)
		if !ok {
			return fmt.Errorf("%s: %w", id.Short(), ErrUnknownSigner)
		}
		if seen[id] {
			return fmt.Errorf("%s signs twice: %w", id.Short(), ErrInvalid)
		}
		seen[id] = true
		power += member.Power
		items[i].Key = member.Key
	}
	if power < v.Set.QuorumPower() {
		return fmt.Errorf("power %d of %d needed: %w", power, v.Set.QuorumPower(), ErrNoQuorum)
	}
	return nil
}

// signed checks one signature by a member of the set.
func (v *Verifier) signed(by ValidatorID, message []byte, sig signature.Signature) error {
	member, ok := v.Set.Get(by)
	if !ok {
		return fmt.Errorf("%s: %w", by.Short(), ErrUnknownSigner)
	}
	if !v.Scheme.Verify([]signature.Item{{Key: member.Key, Message: message, Signature: sig}}) {
		return fmt.Errorf("by %s: %w", by.Short(), ErrBadSignature)
	}
	return nil
}

// claimHash covers all bytes of a claim: the key of the memory of votes that verified.
func claimHash(item signature.Item) Hash {
	return hashOf(kindClaim, func(w *canonical.Writer) {
		w.Fixed(item.Key[:])
		w.Fixed(item.Signature[:])
		w.VarBytes(item.Message)
	})
}

func (v *Verifier) known(h Hash) bool { return v.Cache != nil && v.Cache.Contains(h) }

func (v *Verifier) remember(h Hash) {
	if v.Cache != nil {
		v.Cache.Add(h)
	}
}
