package consensus

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// VoteData is what a vote says: this block was executed with this outcome, its parent is certified with that one, and
// once a quorum says so, Commit and everything before it is committed (P10). A QC is therefore itself a commit proof.
type VoteData struct {
	Block  BlockInfo
	Parent BlockInfo
	Commit BlockInfo // none when the rounds are not consecutive: Parent (two_chain) or Parent's parent (three_chain)
}

// Digest identifies the data. Votes are counted by it, so that divergent outcomes never mix.
func (d VoteData) Digest() Hash { return hashOf(kindVoteData, d.write) }

// String is short: for logs and transcripts.
func (d VoteData) String() string {
	return fmt.Sprintf("%v parent=%v commit=%v", d.Block, d.Parent, d.Commit)
}

func (d VoteData) write(w *canonical.Writer) {
	d.Block.write(w)
	d.Parent.write(w)
	w.Bool(!d.Commit.IsNone())
	if !d.Commit.IsNone() {
		d.Commit.write(w)
	}
}

func readVoteData(r *canonical.Reader) (d VoteData) {
	d.Block = readBlockInfo(r)
	d.Parent = readBlockInfo(r)
	if r.Bool() {
		d.Commit = readBlockInfo(r)
		if d.Commit.IsNone() {
			r.Fail(canonical.ErrNotCanonical)
		}
	}
	return d
}

// check says what of the data contradicts itself or the rule, whoever signed it (P10).
func (d VoteData) check(dom Domain) error {
	switch {
	case d.Block.Epoch != dom.Epoch || d.Parent.Epoch != dom.Epoch:
		return fmt.Errorf("vote data of epoch %d, ours is %d: %w", d.Block.Epoch, dom.Epoch, ErrWrongEpoch)
	case d.Block.Round <= d.Parent.Round || !d.Block.Height.follows(d.Parent.Height) || d.Block.ID.IsZero():
		return fmt.Errorf("vote data: %v does not follow its parent %v: %w", d.Block, d.Parent, ErrInvalid)
	case d.Block.Timestamp <= d.Parent.Timestamp:
		return fmt.Errorf("vote data: timestamp of %v is not above its parent's: %w", d.Block, ErrInvalid)
	}
	if !d.mayCommit(dom) {
		return fmt.Errorf("vote data of %v on %v commits %v, against %v: %w", d.Block, d.Parent, d.Commit, dom.Rule, ErrInvalid)
	}
	return nil
}

// mayCommit reports whether the commit is one that the rule can name (P10, P36).
//
// Under two_chain the data decides it. Under three_chain the commit is the parent that the parent's QC names, of which
// the data tells only the round and the height. It cannot prove that this is the parent of Parent, nor, when it is
// none, that the round before Parent's was skipped: for that a quorum of voters vouches, who read both from the block's
// own QC, and one of them at least is honest.
func (d VoteData) mayCommit(dom Domain) bool {
	consecutive := d.Block.Round == d.Parent.Round+1
	switch {
	case dom.Rule == TwoChain && consecutive:
		return d.Commit == d.Parent
	case d.Commit.IsNone():
		return true
	case dom.Rule != ThreeChain || !consecutive:
		return false
	}
	c, p := d.Commit, d.Parent
	return c.Epoch == dom.Epoch && !c.ID.IsZero() && c.Round < p.Round && c.Round+1 == p.Round &&
		c.Height < p.Height && c.Height+1 == p.Height && c.Timestamp < p.Timestamp
}

// Vote is a validator's signature over VoteData. The signer is part of the vote but not of what is signed: the key is.
type Vote struct {
	Data      VoteData
	Signer    ValidatorID
	Signature signature.Signature
}

// Round returns the round of the block voted for.
func (v *Vote) Round() Round { return v.Data.Block.Round }

func (d Domain) voteBytes(data VoteData) []byte {
	w := d.signing(kindVote)
	data.write(w)
	return w.Bytes()
}

func (v *Vote) write(w *canonical.Writer) {
	v.Data.write(w)
	w.Fixed(v.Signer[:])
	w.Fixed(v.Signature[:])
}

func readVote(r *canonical.Reader) *Vote {
	v := &Vote{Data: readVoteData(r)}
	r.Copy(v.Signer[:])
	r.Copy(v.Signature[:])
	return v
}

// Encode returns the canonical bytes.
func (v *Vote) Encode() []byte {
	w := canonical.NewWriter(1024)
	v.write(w)
	return w.Bytes()
}

// DecodeVote reads what Encode wrote, else ErrMalformed. Nothing is verified.
func DecodeVote(b []byte) (*Vote, error) {
	r := canonical.NewReader(b)
	return finish(r, readVote(r), "vote")
}
