package core_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/safety"
)

// disk is what survives a crash: exactly what a Save or a Commit held, as bytes.
type disk struct {
	safety []byte
	highQC []byte // nil: none saved
	highTC []byte
	blocks map[consensus.Hash][]byte // saved or committed
	order  []consensus.Hash          // of saving
	root   consensus.BlockInfo
	proof  []byte
	chain  []consensus.Hash // committed blocks, from height 1 on
}

func newDisk(c *consensustest.Committee) *disk {
	return &disk{
		safety: safety.Initial(consensus.FirstEpoch).Encode(),
		blocks: map[consensus.Hash][]byte{},
		root:   c.Root,
		proof:  c.GenesisQC().Encode(),
	}
}

// copy returns a disk with the same content.
func (d *disk) copy() *disk {
	c := *d
	c.blocks, c.order, c.chain = maps.Clone(d.blocks), slices.Clone(d.order), slices.Clone(d.chain)
	return &c
}

func (d *disk) save(s *core.Save) {
	for _, b := range s.Blocks {
		d.put(b)
	}
	if s.HighQC != nil {
		d.highQC = s.HighQC.Encode()
	}
	if s.HighTC != nil {
		d.highTC = s.HighTC.Encode()
	}
	if s.Safety != nil {
		d.safety = s.Safety.Encode()
	}
}

func (d *disk) put(b *consensus.Block) {
	if _, ok := d.blocks[b.ID()]; !ok {
		d.order = append(d.order, b.ID())
		d.blocks[b.ID()] = b.Encode()
	}
}

func (d *disk) commit(c core.Commit) {
	d.put(c.Block)
	d.root, d.proof = c.Info, c.Proof.Encode()
	d.chain = append(d.chain, c.Block.ID())
}

// must panics on what our own bytes cannot cause.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("durable bytes do not decode: %v", err))
	}
	return v
}

func (d *disk) block(id consensus.Hash) *consensus.Block {
	raw, ok := d.blocks[id]
	if !ok {
		return nil
	}
	return must(consensus.DecodeBlock(raw))
}

func (d *disk) state() safety.State { return must(safety.Decode(d.safety)) }

// recovery reads everything back, verifies it and raises the safety state, as a node does at start.
func (d *disk) recovery(v *consensus.Verifier, now time.Time) core.Recovery {
	proof := must(v.QC(must(consensus.DecodeQC(d.proof))))
	rec := core.Recovery{Now: now, Root: d.root, Proof: proof, HighQC: proof}
	if d.highQC != nil {
		if high := must(v.QC(must(consensus.DecodeQC(d.highQC)))); high.Get().Round() > proof.Get().Round() {
			rec.HighQC = high
		}
	}
	var highTC *consensus.TC
	if d.highTC != nil {
		tc := must(v.TC(must(consensus.DecodeTC(d.highTC))))
		rec.HighTC, highTC = &tc, tc.Get()
	}
	rec.Safety = safety.Raise(safety.ForChain(v.Domain.Rule), d.state(), rec.HighQC.Get(), highTC)
	rec.Lineage = must(core.Lineage(v.Domain.Rule, d.root, func(h consensus.Height) (consensus.Header, error) {
		return d.block(d.chain[h-1]).Header, nil
	}))
	for _, id := range d.order {
		if b := d.block(id); b.Round > d.root.Round {
			rec.Blocks = append(rec.Blocks, b)
		}
	}
	return rec
}

// chainTo returns the blocks from the requested height up to the target, or nil when the target is not here.
func (d *disk) chainTo(req consensus.FetchRequest) []*consensus.Block {
	var down []*consensus.Block
	for id := req.Target.ID; ; {
		b := d.block(id)
		if b == nil || b.Height < req.From {
			break
		}
		down = append(down, b)
		id = b.Parent
	}
	if len(down) == 0 || down[len(down)-1].Height != req.From {
		return nil
	}
	up := make([]*consensus.Block, 0, len(down))
	for i := len(down) - 1; i >= 0; i-- {
		up = append(up, down[i])
	}
	return up
}
