package follow_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
)

// Whatever the batches are, every block is proven once, in order, by certificates that verify and commit it.
func TestProvenInAnyBatches(t *testing.T) {
	for _, rule := range []consensus.CommitRule{consensus.TwoChain, consensus.ThreeChain} {
		t.Run(rule.String(), func(t *testing.T) {
			w := newWorld(t, "batches", rule)
			rapid.Check(t, func(r *rapid.T) {
				const n = 12
				// Rounds are skipped, so that some blocks are committed only by what comes much later.
				all, at := []*link{}, w.root()
				for i := range n + 3 {
					skip := consensus.Round(1)
					if i < n {
						skip = consensus.Round(rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(r, "rounds"))
					}
					at = w.child(at, skip, nil)
					all = append(all, at)
				}
				w.prove(all)
				links := all[:n]
				c := follow.NewChecker(w.verifier, w.root().info)
				var got []follow.Proven
				for rest := canonicals(links); len(rest) > 0; {
					size := rapid.IntRange(1, len(rest)).Draw(r, "batch")
					proven, err := c.Take(rest[:size]...)
					if err != nil {
						r.Fatal(err)
					}
					got, rest = append(got, proven...), rest[size:]
				}
				// The last ones may wait for a block that was not delivered.
				for i, p := range got {
					if p.Block.ID() != links[i].info.ID {
						r.Fatalf("block %d is %v", i, p.Block)
					}
					if commit := p.Proof.Commit(); commit.Height < p.Block.Height || all[commit.Height-1].info != commit {
						r.Fatalf("block %v is proven by %v", p.Block, p.Proof.Data)
					}
					if p.QC.Block() != links[i].info && !p.QC.Same(p.Proof) {
						r.Fatalf("block %v is certified by %v", p.Block, p.QC)
					}
				}
				committed := links[n-1].proof.Commit().Height
				if committed <= n && len(got) != n || len(got) == 0 {
					r.Fatalf("%d of %d are proven, the last one's proof commits %d", len(got), n, committed)
				}
			})
		})
	}
}

// Every lie is found, whether the block comes alone or in the middle of others.
func TestLies(t *testing.T) {
	w := newWorld(t, "lies", consensus.TwoChain)
	links := w.grow(w.root(), 8, "a")
	other := w.grow(w.root(), 8, "b")
	elsewhere := newWorld(t, "elsewhere", consensus.TwoChain)
	foreign := elsewhere.grow(elsewhere.root(), 8, "a")
	forged := func(qc *consensus.QC, change func(*consensus.QC)) []byte {
		out := &consensus.QC{Data: qc.Data, Signatures: slices.Clone(qc.Signatures)}
		change(out)
		return out.Encode()
	}
	for _, c := range []struct {
		name string
		lie  func(c *follow.Canonical, l *link)
		want error
		tip  bool // only what is the newest of a batch is looked at
	}{
		{"no block", func(c *follow.Canonical, _ *link) { c.Block = nil }, follow.ErrMalformed, false},
		{"half a block", func(c *follow.Canonical, _ *link) { c.Block = c.Block[:len(c.Block)/2] }, follow.ErrMalformed, false},
		{"no certificate", func(c *follow.Canonical, _ *link) { c.Certificate = nil }, follow.ErrMalformed, false},
		{"no proof", func(c *follow.Canonical, _ *link) { c.Proof = nil }, follow.ErrMalformed, false},
		{"a flipped bit", func(c *follow.Canonical, _ *link) { c.Block[len(c.Block)-1] ^= 1 }, follow.ErrMalformed, false},
		{"its certificate as proof", func(c *follow.Canonical, _ *link) { c.Proof = c.Certificate }, follow.ErrNoProof, true},
		{"an old proof", func(c *follow.Canonical, _ *link) { c.Proof = links[0].proof.Encode() }, follow.ErrNoProof, true},
		{"the proof of another chain", func(c *follow.Canonical, l *link) { c.Proof = foreign[l.info.Height-1].proof.Encode() }, follow.ErrBadCertificate, true},
		{"the block of another chain", func(c *follow.Canonical, l *link) { *c = foreign[l.info.Height-1].canonical() }, follow.ErrWrongBlock, false},
		{"a forged proof", func(c *follow.Canonical, l *link) {
			c.Proof = forged(l.proof, func(qc *consensus.QC) { qc.Signatures[0].Signature[5] ^= 1 })
		}, follow.ErrBadCertificate, true},
		{"a proof without a quorum", func(c *follow.Canonical, l *link) {
			c.Proof = forged(l.proof, func(qc *consensus.QC) { qc.Signatures = qc.Signatures[:2] })
		}, follow.ErrBadCertificate, true},
		{"a certificate without signatures", func(c *follow.Canonical, l *link) {
			c.Certificate = forged(l.qc, func(qc *consensus.QC) { qc.Signatures = nil })
		}, follow.ErrBadCertificate, true},
		{"a forged certificate of the parent", func(c *follow.Canonical, l *link) {
			qc := &consensus.QC{Data: l.block.QC.Data, Signatures: slices.Clone(l.block.QC.Signatures)}
			qc.Signatures[1].Signature[9] ^= 1
			c.Block = consensus.NewBlock(l.block.Header, qc, l.block.Payload).Encode()
		}, follow.ErrBadCertificate, false},
		{"another outcome of the parent", func(c *follow.Canonical, l *link) {
			header := l.block.Header
			header.ParentStateRoot[0] ^= 1
			c.Block = consensus.NewBlock(header, l.block.QC, l.block.Payload).Encode()
		}, follow.ErrWrongBlock, false},
		{"another payload", func(c *follow.Canonical, l *link) {
			c.Block = consensus.NewBlock(l.block.Header, l.block.QC, [][]byte{counter.Tx("mine", 0)}).Encode()
		}, follow.ErrWrongBlock, true},
		{"a certified block that is not committed", func(c *follow.Canonical, l *link) {
			c.Block = w.child(l.parent, 3, nil, counter.Tx("side", 0)).block.Encode()
		}, follow.ErrWrongBlock, true},
		{"a gap", func(c *follow.Canonical, l *link) { *c = links[l.info.Height].canonical() }, follow.ErrOutOfOrder, false},
		{"a repetition", func(c *follow.Canonical, l *link) { *c = links[l.info.Height-2].canonical() }, follow.ErrOutOfOrder, false},
		{"another parent", func(c *follow.Canonical, l *link) {
			*c = other[l.info.Height-1].canonical()
			c.Proof = l.proof.Encode()
		}, follow.ErrWrongBlock, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			const at = 4
			lie := canonicals(links)
			c.lie(&lie[at], links[at])
			for _, batch := range [][]follow.Canonical{lie[at : at+1], lie[at-2 : at+1], lie[at-1 : at+3]} {
				first := map[int]int{1: at, 3: at - 2, 4: at - 1}[len(batch)]
				if c.tip && len(batch) == 4 {
					continue
				}
				checker := follow.NewChecker(w.verifier, links[first].parent.info)
				got, err := checker.Take(batch...)
				if !errors.Is(err, c.want) || len(got) != 0 || follow.FaultOf(err) != follow.Lie {
					t.Errorf("batch of %d: %d proven, %v (%s), want %v", len(batch), len(got), err, follow.FaultOf(err), c.want)
				}
			}
			// In the middle of a batch it is no use either, if it is not found: what is proven is the truth.
			if c.tip {
				got, err := follow.NewChecker(w.verifier, links[at-1].parent.info).Take(lie[at-1 : at+3]...)
				for i, p := range got {
					if p.Block.ID() != links[at-1+i].info.ID || p.Proof.Commit().Height < p.Block.Height {
						t.Errorf("%v is proven by %v", p.Block, p.Proof)
					}
				}
				if err == nil && len(got) == 0 {
					t.Error("nothing is proven, and nothing is wrong")
				}
			}
		})
	}
}

// Two blocks that a quorum has committed at one height are no lie: both are in hand, with the proofs.
func TestConflictIsProven(t *testing.T) {
	w := newWorld(t, "conflict", consensus.TwoChain)
	ours, theirs := w.grow(w.root(), 5, "ours"), w.grow(w.root(), 5, "theirs")
	_, err := follow.NewChecker(w.verifier, ours[2].info).Take(canonicals(theirs[3:])...)
	var conflict *follow.ConflictError
	if !errors.As(err, &conflict) || !errors.Is(err, follow.ErrStopped) {
		t.Fatal(err)
	}
	if conflict.Height != 3 || conflict.Ours != ours[2].info.ID || conflict.Theirs != theirs[2].info.ID || !conflict.TheirProof.Same(theirs[3].proof) {
		t.Errorf("%+v", conflict)
	}
}

// A certificate proves the very block that it names, and none other of its height, whoever signed that.
func TestCertificateOfAnotherBlockProvesNothing(t *testing.T) {
	w := newWorld(t, "another", consensus.TwoChain)
	first, other := w.child(w.root(), 1, nil, counter.Tx("a", 0)), w.child(w.root(), 1, nil, counter.Tx("b", 0))
	second := w.child(first, 1, nil)
	second.qc = w.certify(consensus.VoteData{Block: second.info, Parent: other.info, Commit: other.info})
	third := w.child(second, 2, nil)
	far := w.grow(third, 4, "far")[3].proof.Encode()
	var batch []follow.Canonical
	for _, l := range []*link{first, second, third} {
		batch = append(batch, follow.Canonical{Block: l.block.Encode(), Certificate: l.qc.Encode(), Proof: far})
	}
	if got, err := follow.NewChecker(w.verifier, w.root().info).Take(batch...); len(got) > 0 || err != nil {
		t.Errorf("%d are proven, %v", len(got), err)
	}
}

// Blocks that no certificate commits are not kept without end.
func TestUnprovenBlocksAreBounded(t *testing.T) {
	w := newWorld(t, "unproven", consensus.TwoChain)
	target := w.grow(w.root(), follow.MaxUnproven+2, "far")
	far := target[follow.MaxUnproven+1].proof.Encode()
	checker, taken := follow.NewChecker(w.verifier, w.root().info), 0
	var err error
	for at := w.root(); taken <= follow.MaxUnproven; taken++ {
		at = w.child(at, 2, nil) // never consecutive: nothing is committed
		var got []follow.Proven
		if got, err = checker.Take(follow.Canonical{Block: at.block.Encode(), Certificate: at.qc.Encode(), Proof: far}); len(got) > 0 {
			t.Fatalf("%v is proven", got[0].Block)
		}
		if err != nil {
			break
		}
	}
	if taken != follow.MaxUnproven || !errors.Is(err, follow.ErrNoProof) {
		t.Errorf("after %d blocks: %v", taken, err)
	}
}
