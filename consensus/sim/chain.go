package sim

import (
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// chainLog judges what validators commit, and what they remember.
type chainLog struct {
	w            *world
	committed    []consensus.BlockInfo // by height, by whoever was first
	proofs       []consensus.Round     // of the QC that committed it first
	promised     map[consensus.Height]consensus.BlockInfo
	ledgers      []ledgerModel // after each height
	ids          map[consensus.Hash]bool
	lastTransfer consensus.Height // the newest height with one
}

// marks are what never decreases in a validator, across restarts included: I7.
type marks struct {
	height                  consensus.Height
	highQC, highTC          consensus.Round
	voted, proposed, locked consensus.Round
}

func newChainLog(w *world) *chainLog {
	return &chainLog{
		w: w, committed: []consensus.BlockInfo{{}}, proofs: []consensus.Round{0}, ids: map[consensus.Hash]bool{},
		promised: map[consensus.Height]consensus.BlockInfo{},
	}
}

func (c *chainLog) height() consensus.Height { return consensus.Height(len(c.committed) - 1) }

func (v *validator) marksNow() marks {
	m := marks{height: v.store.Tip().Height, highQC: v.store.HighQC().Round()}
	if tc := v.store.HighTC(); tc != nil {
		m.highTC = tc.Round
	}
	s := v.record.State()
	m.voted, m.proposed, m.locked = s.LastVoted, s.LastProposed, s.Locked
	return m
}

// check is called after every step of v.
func (c *chainLog) check(v *validator) {
	if v.faulty {
		return
	}
	now, before := v.marksNow(), v.marks
	if now == before {
		return
	}
	c.monotone(v, before, now)
	c.bounded(v)
	for h := before.height + 1; h <= now.height; h++ {
		c.commit(v, h)
	}
	v.marks = now
	if now.height > before.height && !c.w.conflict {
		c.state(v, now.height)
	}
}

// bounded: what a validator keeps in memory follows the tree, the set and the windows of the protocol: M2.
func (c *chainLog) bounded(v *validator) {
	status := v.engine.Status()
	for _, kept := range []struct {
		what    string
		n, most int
	}{
		{"uncommitted blocks", status.Tree, core.FetchAhead + consensus.MaxChunkBlocks},
		{"orphans", status.Orphans, core.MaxOrphansPerAuthor * c.w.genesis.Validators.Len()},
		{"rounds of votes", status.Ballots, int(min(status.Round-status.HighQC.Round(), core.VoteMemory+1) + core.VoteWindow)},
		{"outcomes of blocks", status.Outcomes, status.Tree + status.Commits + 2},
	} {
		if kept.n > kept.most {
			c.w.fail("M2 bounded memory", "validator %d holds %d %s, at most %d are due%v", v.i, kept.n, kept.what, kept.most, c.w)
		}
	}
}

// checkRestart is called when v has opened its disks again.
func (c *chainLog) checkRestart(v *validator) {
	if !v.faulty {
		c.monotone(v, v.marks, v.marksNow())
	}
}

func (c *chainLog) monotone(v *validator, before, now marks) {
	if now.height < before.height || now.highQC < before.highQC || now.highTC < before.highTC ||
		now.voted < before.voted || now.proposed < before.proposed || now.locked < before.locked {
		c.w.fail("I7 monotonicity", "validator %d went from %+v to %+v", v.i, before, now)
	}
}

// commit judges one committed block of v as it reads from its store: I1, I3, I4, I10, I11.
func (c *chainLog) commit(v *validator, h consensus.Height) {
	record, err := v.store.Block(h)
	if err != nil {
		c.w.fail("C storage", "validator %d cannot read its height %d: %v", v.i, h, err)
	}
	c.w.trace.line(c.w.now, v.i, "commit", record.Info, " txs ", len(record.Block.Payload))
	c.proof(v, record.Info, record.Proof)
	c.w.wire.qc(record.QC)
	if h <= c.height() {
		if record.Info != c.committed[h] {
			c.w.forked("I1 agreement", "validator %d commits %v, another one committed %v", v.i, record.Info, c.committed[h])
		}
		return
	}
	if c.w.reached["fork"] > 0 {
		return
	}
	b, parent := record.Block, c.committed[h-1]
	if h == 1 {
		parent = v.store.Genesis()
	}
	if b.Height != h || b.ID() != record.Info.ID || b.Parent != parent.ID || b.Round <= parent.Round {
		c.w.fail("I4 ancestry", "validator %d commits %v on %v", v.i, record.Info, parent)
	}
	if b.Timestamp <= parent.Timestamp {
		c.w.fail("I10 validity", "block time of %v is not above %v's", record.Info, parent)
	}
	c.committed, c.proofs = append(c.committed, record.Info), append(c.proofs, record.Proof.Round())
	c.execute(record)
}

// proof: the certificate under which a block was committed names it or a descendant.
func (c *chainLog) proof(v *validator, info consensus.BlockInfo, proof *consensus.QC) {
	c.w.wire.qc(proof)
	target := proof.Commit()
	if target.Height < info.Height || target.Height == info.Height && target != info {
		c.w.fail("I3 commit proof", "validator %d commits %v under %v", v.i, info, proof)
	}
	if target.Height >= info.Height+2 {
		c.w.reach("three blocks committed at once")
	}
	if promised, ok := c.promised[target.Height]; ok && promised != target {
		c.w.forked("I1 agreement", "certificates commit both %v and %v", promised, target)
		return
	}
	c.promised[target.Height] = target
	if promised, ok := c.promised[info.Height]; ok && promised != info && !c.w.conflict {
		c.w.fail("I3 commit proof", "validator %d commits %v, a certificate names %v", v.i, info, promised)
	}
}

// checkVote: once a block is committed, nobody votes for a conflicting one in a round above its proof: I9.
func (c *chainLog) checkVote(v *validator, b *consensus.Block) {
	h := c.height()
	if h == 0 || b.Round <= c.proofs[h] || c.w.conflict {
		return
	}
	if c.conflicts(b) {
		c.w.fail("I9 lock safety", "validator %d votes in round %d for a block that conflicts with committed %v", v.i, b.Round, c.committed[h])
	}
}

// checkCertified: once a block is committed, no block that conflicts with it is certified in a round above its proof's:
// I9, for every commit rule.
func (c *chainLog) checkCertified(d consensus.VoteData) {
	h := c.height()
	if h == 0 || d.Block.Round <= c.proofs[h] || c.w.conflict {
		return
	}
	if b := c.w.wire.blocks[d.Block.ID]; b == nil || c.conflicts(b) {
		c.w.fail("I9 lock safety", "%v is certified and conflicts with committed %v", d.Block, c.committed[h])
	}
}

// conflicts reports whether b does not descend from the newest committed block.
func (c *chainLog) conflicts(b *consensus.Block) bool {
	h := c.height()
	for b != nil && b.Height > h+1 {
		b = c.w.wire.blocks[b.Parent]
	}
	return b == nil || b.Height != h+1 || b.Parent != c.committed[h].ID
}

// state compares a validator's ledger with the model: I12, I13.
func (c *chainLog) state(v *validator, h consensus.Height) {
	state, model := v.store.State(), c.ledgers[h]
	read := func(who string, address ledger.Address, want accountModel) {
		got, err := ledger.ReadAccount(state, address)
		if err != nil {
			c.w.fail("C storage", "validator %d: account of %s: %v", v.i, who, err)
		}
		if got.Balance != want.balance || got.Sequence != want.sequence {
			c.w.fail("I12 state", "validator %d at height %d: %s has %d and sequence %d, the model says %+v", v.i, h, who, got.Balance, got.Sequence, want)
		}
	}
	for i, client := range c.w.clients.list {
		read("client", client.address, model.clients[i])
	}
	for i, power := range model.proposers {
		read("validator", ledger.Address(c.w.genesis.Validators.At(i).ID), power)
	}
	supply, err := ledger.ReadSupply(state)
	if want := uint64(len(c.w.clients.list)) * firstBalance; err != nil || supply != want || model.sum() != want {
		c.w.fail("I13 conservation", "validator %d at height %d: supply %d (%v), the model's %d, want %d", v.i, h, supply, err, model.sum(), want)
	}
}
