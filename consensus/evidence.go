package consensus

import (
	"bytes"
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// EvidenceKind says messages of which kind a validator signed twice.
type EvidenceKind uint8

// The kinds.
const (
	ProposalEvidence EvidenceKind = 1
	VoteEvidence     EvidenceKind = 2
	TimeoutEvidence  EvidenceKind = 3
)

// IsKnown reports whether k is one of the kinds.
func (k EvidenceKind) IsKnown() bool { return k >= ProposalEvidence && k <= TimeoutEvidence }

// String returns "proposal", "vote" or "timeout".
func (k EvidenceKind) String() string {
	switch k {
	case ProposalEvidence:
		return "proposal"
	case VoteEvidence:
		return "vote"
	case TimeoutEvidence:
		return "timeout"
	}
	return fmt.Sprintf("evidence_kind(%d)", uint8(k))
}

const (
	// maxEvidenceContent is the largest content of a Statement, in bytes: VoteData with a commit. Longer ones do not decode.
	maxEvidenceContent = 3*blockInfoSize + 1
	// MaxEvidenceBytes is the largest encoding of an Evidence, in bytes.
	MaxEvidenceBytes = 8 + 8 + ValidatorIDSize + 1 + 2*(4+maxEvidenceContent+signature.Size)
)

// EvidenceKey names what a validator signs at most once: one content of a kind in a round (P42). One Evidence for each
// key is enough.
type EvidenceKey struct {
	Epoch  Epoch
	Round  Round
	Signer ValidatorID
	Kind   EvidenceKind
}

// Statement is what one signature of a validator covers, without what travelled beside it: under a kilobyte, so it can
// be kept long after the message is gone. Treat it as immutable.
type Statement struct {
	EvidenceKey
	// Content is canonical bytes: of a proposal the block's header, of a vote its VoteData, of a timeout its round and the
	// round of its QC. What lies outside, such as a proposal's TC, the signer does not answer for.
	Content   []byte
	Signature signature.Signature
}

// Statement returns what the leader signed.
func (p *Proposal) Statement() Statement {
	w := canonical.NewWriter(256)
	p.Block.Header.write(w)
	key := EvidenceKey{Epoch: p.Block.Epoch, Round: p.Block.Round, Signer: p.Block.Proposer, Kind: ProposalEvidence}
	return Statement{EvidenceKey: key, Content: w.Bytes(), Signature: p.Signature}
}

// Statement returns what the voter signed.
func (v *Vote) Statement() Statement {
	return voteStatements(v.Data, []SignedBy{{Signer: v.Signer, Signature: v.Signature}})[0]
}

// Statements returns what each signer of the certificate signed; they share their content.
func (q *QC) Statements() []Statement { return voteStatements(q.Data, q.Signatures) }

func voteStatements(data VoteData, signed []SignedBy) []Statement {
	w := canonical.NewWriter(maxEvidenceContent)
	data.write(w)
	out := make([]Statement, len(signed))
	for i, s := range signed {
		key := EvidenceKey{Epoch: data.Block.Epoch, Round: data.Block.Round, Signer: s.Signer, Kind: VoteEvidence}
		out[i] = Statement{EvidenceKey: key, Content: w.Bytes(), Signature: s.Signature}
	}
	return out
}

// Statement returns what the signer signed. A timeout names no epoch: its signature does, and the caller must.
func (t *Timeout) Statement(epoch Epoch) Statement {
	return timeoutStatement(epoch, t.Round, TimedOut{Signer: t.Signer, QCRound: t.QC.Round(), Signature: t.Signature})
}

func timeoutStatement(epoch Epoch, round Round, p TimedOut) Statement {
	w := canonical.NewWriter(16)
	w.Uint64(uint64(round))
	w.Uint64(uint64(p.QCRound))
	key := EvidenceKey{Epoch: epoch, Round: round, Signer: p.Signer, Kind: TimeoutEvidence}
	return Statement{EvidenceKey: key, Content: w.Bytes(), Signature: p.Signature}
}

// Statements returns what each signer of the certificate signed.
func (t *TC) Statements() []Statement {
	out := make([]Statement, len(t.Timeouts))
	for i, p := range t.Timeouts {
		out[i] = timeoutStatement(t.Epoch, t.Round, p)
	}
	return out
}

// SignedContent is one of the two statements of an Evidence.
type SignedContent struct {
	Content   []byte // see Statement
	Signature signature.Signature
}

// Evidence is two statements by which a validator contradicts itself: proof, to whoever knows the validator's key, that
// it equivocated. First has the smaller content, so that the same two statements are one Evidence whichever was seen
// first. Treat it as immutable.
type Evidence struct {
	EvidenceKey
	First, Second SignedContent
}

// NewEvidence returns the evidence that two statements are, and false when they are none: of different keys, or the same
// content, as a message that is sent again has. It checks no signature.
func NewEvidence(a, b Statement) (*Evidence, bool) {
	order := bytes.Compare(a.Content, b.Content)
	if a.EvidenceKey != b.EvidenceKey || order == 0 {
		return nil, false
	}
	if order > 0 {
		a, b = b, a
	}
	return &Evidence{
		EvidenceKey: a.EvidenceKey,
		First:       SignedContent{Content: a.Content, Signature: a.Signature},
		Second:      SignedContent{Content: b.Content, Signature: b.Signature},
	}, true
}

// ID names what was signed by whom. The signatures are no part of it: a signer can make many for one content.
func (e *Evidence) ID() Hash {
	return hashOf(kindEvidence, func(w *canonical.Writer) {
		e.writeKey(w)
		w.VarBytes(e.First.Content)
		w.VarBytes(e.Second.Content)
	})
}

// HashOf names one of the two contents: of a proposal it is the block's id, of a vote the digest of its data.
func (e *Evidence) HashOf(s SignedContent) Hash {
	kind := kindTimeoutContent
	switch e.Kind {
	case ProposalEvidence:
		kind = kindBlock
	case VoteEvidence:
		kind = kindVoteData
	case TimeoutEvidence:
	}
	return hashOf(kind, func(w *canonical.Writer) { w.Fixed(s.Content) })
}

// String is short: for logs and transcripts.
func (e *Evidence) String() string {
	return fmt.Sprintf("%s of round %d by %s: %s and %s", e.Kind, e.Round, e.Signer.Short(), e.HashOf(e.First).Short(),
		e.HashOf(e.Second).Short())
}

func (k EvidenceKey) writeKey(w *canonical.Writer) {
	w.Uint64(uint64(k.Epoch))
	w.Uint64(uint64(k.Round))
	w.Fixed(k.Signer[:])
	w.Uint8(uint8(k.Kind))
}

// Encode returns the canonical bytes: at most MaxEvidenceBytes.
func (e *Evidence) Encode() []byte {
	w := canonical.NewWriter(MaxEvidenceBytes)
	e.writeKey(w)
	for _, s := range []SignedContent{e.First, e.Second} {
		w.VarBytes(s.Content)
		w.Fixed(s.Signature[:])
	}
	return w.Bytes()
}

// DecodeEvidence reads what Encode wrote, else ErrMalformed. Of what decodes, the first content is smaller than the
// second, and each is of the kind's form; nothing else is verified. The evidence keeps b.
func DecodeEvidence(b []byte) (*Evidence, error) {
	r := canonical.NewReader(b)
	e := &Evidence{}
	e.Epoch, e.Round = Epoch(r.Uint64()), Round(r.Uint64())
	r.Copy(e.Signer[:])
	if e.Kind = EvidenceKind(r.Uint8()); !e.Kind.IsKnown() {
		r.Fail(canonical.ErrNotCanonical)
	}
	for _, s := range []*SignedContent{&e.First, &e.Second} {
		s.Content = r.VarBytes(maxEvidenceContent)
		r.Copy(s.Signature[:])
		if _, err := e.keyOf(*s); err != nil {
			r.Fail(err)
		}
	}
	if bytes.Compare(e.First.Content, e.Second.Content) >= 0 {
		r.Fail(canonical.ErrNotCanonical)
	}
	return finish(r, e, "evidence")
}

// keyOf reads the key from a content. What the content does not name is taken from e.
func (e *Evidence) keyOf(s SignedContent) (EvidenceKey, error) {
	r, key := canonical.NewReader(s.Content), e.EvidenceKey
	switch e.Kind {
	case ProposalEvidence:
		h := readHeader(r)
		key.Epoch, key.Round, key.Signer = h.Epoch, h.Round, h.Proposer
	case VoteEvidence:
		d := readVoteData(r)
		key.Epoch, key.Round = d.Block.Epoch, d.Block.Round
	case TimeoutEvidence:
		key.Round = Round(r.Uint64())
		r.Uint64()
	default:
		return EvidenceKey{}, canonical.ErrNotCanonical
	}
	return key, r.Close()
}

// evidenceBytes returns the bytes that the signature of a content covers.
func (d Domain) evidenceBytes(e *Evidence, s SignedContent) []byte {
	switch e.Kind {
	case ProposalEvidence:
		return d.proposalBytes(e.HashOf(s))
	case VoteEvidence:
		w := d.signing(kindVote)
		w.Fixed(s.Content)
		return w.Bytes()
	case TimeoutEvidence:
		w := d.signing(kindTimeout)
		w.Fixed(s.Content)
		return w.Bytes()
	}
	panic(fmt.Sprintf("consensus: evidence of kind %d", e.Kind))
}

// Evidence checks that the evidence proves what it says (P42): a member of the set signed, in this epoch, two different
// contents of the kind and the round. Whether that member led the round, or the contents obey any rule, does not matter:
// an honest validator signs once.
func (v *Verifier) Evidence(e *Evidence) (Verified[*Evidence], error) {
	if e.Epoch != v.Domain.Epoch {
		return Verified[*Evidence]{}, fmt.Errorf("evidence of epoch %d, ours is %d: %w", e.Epoch, v.Domain.Epoch, ErrWrongEpoch)
	}
	if bytes.Compare(e.First.Content, e.Second.Content) >= 0 {
		return Verified[*Evidence]{}, fmt.Errorf("evidence of one content, or out of order: %w", ErrInvalid)
	}
	for _, s := range []SignedContent{e.First, e.Second} {
		key, err := e.keyOf(s)
		if err != nil {
			return Verified[*Evidence]{}, fmt.Errorf("evidence: no content of a %s: %w: %w", e.Kind, ErrInvalid, err)
		}
		if key != e.EvidenceKey {
			return Verified[*Evidence]{}, fmt.Errorf("evidence of %+v with a content of %+v: %w", e.EvidenceKey, key, ErrInvalid)
		}
		if err := v.signed(e.Signer, v.Domain.evidenceBytes(e, s), s.Signature); err != nil {
			return Verified[*Evidence]{}, fmt.Errorf("evidence: %w", err)
		}
	}
	return verified(e), nil
}
