package consensus_test

import (
	"slices"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// script is a string of bytes read as decisions: which committee, which message, which lies in it. Every string is one,
// so a fuzzer can write it, and what it writes at the end decides what is done last. Where it ends, 0 is read.
type script struct{ raw []byte }

// draw reads a decision of n.
func (s *script) draw(n int) int {
	if len(s.raw) == 0 {
		return 0
	}
	v := int(s.raw[0]) % n
	s.raw = s.raw[1:]
	return v
}

// number lies about a number: a little, by an end of its range, or by another one of the same kind.
func number[T ~uint64 | ~int64](s *script, v *T, other T) {
	switch s.draw(7) {
	case 0:
		*v++
	case 1:
		*v--
	case 2:
		*v = 0
	case 3:
		*v = ^T(0)
	case 4:
		*v = other
	case 5:
		*v = T(^uint64(0) >> 1)
	case 6:
		*v ^= T(1) << s.draw(63)
	}
}

func (s *script) bytes(v []byte, other []byte) {
	switch s.draw(4) {
	case 0:
		v[s.draw(len(v))] ^= 1 << s.draw(8)
	case 1:
		clear(v)
	case 2:
		copy(v, slices.Repeat([]byte{0xff}, len(v)))
	case 3:
		copy(v, other)
	}
}

// stage is where a script plays: a committee with a chain, and others whose signatures count for nothing in it.
type stage struct {
	*script
	c         *consensustest.Committee
	strangers *consensustest.Committee   // other keys
	foreign   []*consensustest.Committee // the same keys on another chain, of another genesis, rule, epoch
	blocks    []*consensus.Block         // of rounds 1, 2, 3, and 6
	qcs       []*consensus.QC            // of rounds 0, 1, 2, 3, 6
}

func newStage(s *script, strangers *consensustest.Committee) *stage {
	powers := make([]consensus.Power, 1+s.draw(6))
	for i := range powers {
		if powers[i] = consensus.Power(1 + s.draw(10)); powers[i] == 10 {
			powers[i] = consensus.MaxPower
		}
	}
	c := consensustest.NewOf(consensustest.Rule(consensus.CommitRules()[s.draw(2)]), powers...)
	st := &stage{script: s, c: c, strangers: strangers}
	for _, change := range []func(*consensus.Domain){
		func(d *consensus.Domain) { d.ChainID += "x" },
		func(d *consensus.Domain) { d.Genesis[31] ^= 1 },
		func(d *consensus.Domain) { d.Rule ^= consensus.TwoChain ^ consensus.ThreeChain },
		func(d *consensus.Domain) { d.Epoch++ },
	} {
		other := *c
		change(&other.Domain)
		st.foreign = append(st.foreign, &other)
	}
	blocks, high := c.Chain(c.GenesisQC(), 3)
	gap := c.Block(high, 6, nil, "after a gap")
	for _, b := range append(blocks, gap) {
		st.blocks, st.qcs = append(st.blocks, b), append(st.qcs, b.QC)
	}
	st.qcs = append(st.qcs, c.QC(c.Data(gap)))
	return st
}

func pick[T any](s *script, from []T) T { return from[s.draw(len(from))] }

// qc is a certificate of the chain by all or by some.
func (st *stage) qc() *consensus.QC {
	q := pick(st.script, st.qcs)
	if some := st.draw(256); some != 0 && q.Round() != 0 {
		var signers []int
		for i := range st.c.Len() {
			if some>>i&1 == 0 {
				signers = append(signers, i)
			}
		}
		if len(signers) != 0 {
			return st.c.QC(q.Data, signers...)
		}
	}
	return q
}

// tc is a certificate of a round above those of its QCs, now and then of the highest of them, by all or by some.
func (st *stage) tc() *consensus.TC {
	parts, high := make([]*consensus.QC, st.c.Len()), consensus.Round(0)
	some := st.draw(256)
	for i := range parts {
		if some>>i&1 == 0 || i == 0 {
			parts[i] = pick(st.script, st.qcs)
			high = max(high, parts[i].Round())
		}
	}
	return st.c.TC(high+consensus.Round(pick(st.script, []int{1, 1, 2, 3, 0})), parts...)
}

// lies is how many mutations follow: often none.
func (st *stage) lies() int { return max(0, st.draw(5)-1) }

func (st *stage) infoOf(q *consensus.QC) consensus.BlockInfo {
	return pick(st.script, []consensus.BlockInfo{q.Data.Block, q.Data.Parent, q.Data.Commit})
}

func (st *stage) lieData(d *consensus.VoteData) {
	info, other := pick(st.script, []*consensus.BlockInfo{&d.Block, &d.Parent, &d.Commit}), st.infoOf(pick(st.script, st.qcs))
	switch st.draw(12) {
	case 0:
		number(st.script, &info.Epoch, other.Epoch)
	case 1:
		number(st.script, &info.Round, other.Round)
	case 2:
		st.bytes(info.ID[:], other.ID[:])
	case 3:
		number(st.script, &info.Height, other.Height)
	case 4:
		st.bytes(info.StateRoot[:], other.StateRoot[:])
	case 5:
		st.bytes(info.ReceiptsRoot[:], other.ReceiptsRoot[:])
	case 6:
		st.bytes(info.HistoryRoot[:], other.HistoryRoot[:])
	case 7:
		number(st.script, &info.Timestamp, other.Timestamp)
	case 8:
		st.bytes(info.NextValidators[:], other.NextValidators[:])
	case 9:
		*info = consensus.BlockInfo{}
	case 10:
		*info = other
	case 11: // all heights moved to the end of their range
		d.Block.Height, d.Parent.Height = 0, ^consensus.Height(0)
	}
}

// otherKind is a signature of another kind of message, or of the same in another domain, by a validator.
func (st *stage) otherKind(i int, data consensus.VoteData) signature.Signature {
	q := pick(st.script, st.qcs)
	switch st.draw(4) {
	case 0:
		return st.c.Timeout(i, data.Block.Round, q, nil).Signature
	case 1:
		return st.c.Identity(i).Proposal(&consensus.Proposal{Block: pick(st.script, st.blocks)}).Get().Signature
	case 2:
		return pick(st.script, st.foreign).Vote(i, data).Signature
	}
	return pick(st.script, st.foreign).Timeout(i, data.Block.Round, q, nil).Signature
}

// lieQC changes data, with or without signatures for it, or the signatures. Some changes do no harm.
func (st *stage) lieQC(of *consensus.QC) *consensus.QC {
	q := &consensus.QC{Data: of.Data, Signatures: slices.Clone(of.Signatures)}
	other, member, stranger := pick(st.script, st.qcs), st.draw(st.c.Len()), st.draw(st.strangers.Len())
	kind := st.draw(15)
	if len(q.Signatures) == 0 {
		kind %= 6
	}
	at, to := st.draw(max(1, len(q.Signatures))), st.draw(max(1, len(q.Signatures)))
	switch kind {
	case 0:
		st.lieData(&q.Data)
	case 1: // a quorum that signs nonsense
		st.lieData(&q.Data)
		for i, s := range q.Signatures {
			if who := st.c.Set.Index(s.Signer); who >= 0 {
				q.Signatures[i].Signature = st.c.Vote(who, q.Data).Signature
			}
		}
	case 2:
		q.Data = other.Data
	case 3:
		q.Signatures = slices.Clone(other.Signatures)
	case 4:
		q.Signatures = append(q.Signatures, consensus.SignedBy{Signer: st.c.ID(member), Signature: st.c.Vote(member, q.Data).Signature})
	case 5:
		q.Signatures = append(q.Signatures, consensus.SignedBy{Signer: st.strangers.ID(stranger), Signature: st.strangers.Vote(stranger, q.Data).Signature})
	case 6:
		q.Signatures = slices.Delete(q.Signatures, at, at+1)
	case 7:
		q.Signatures = append(q.Signatures, q.Signatures[at])
	case 8:
		q.Signatures[at].Signature, q.Signatures[to].Signature = q.Signatures[to].Signature, q.Signatures[at].Signature
	case 9: // another order is as good
		q.Signatures[at], q.Signatures[to] = q.Signatures[to], q.Signatures[at]
	case 10:
		st.bytes(q.Signatures[at].Signature[:], q.Signatures[to].Signature[:])
	case 11:
		q.Signatures[at].Signer = st.strangers.ID(stranger)
	case 12:
		q.Signatures[at].Signer = st.c.ID(member)
	case 13:
		q.Signatures[at].Signature = st.otherKind(member, q.Data)
	case 14: // a whole certificate of another chain, genesis, rule or epoch
		q.Signatures = pick(st.script, st.foreign).QC(q.Data).Signatures
	}
	return q
}

func (st *stage) lieTC(of *consensus.TC) *consensus.TC {
	m := &consensus.TC{Epoch: of.Epoch, Round: of.Round, HighQC: of.HighQC, Timeouts: slices.Clone(of.Timeouts)}
	other, member := pick(st.script, st.qcs), st.draw(st.c.Len())
	kind := st.draw(15)
	if len(m.Timeouts) == 0 {
		kind %= 5
	}
	at, to := st.draw(max(1, len(m.Timeouts))), st.draw(max(1, len(m.Timeouts)))
	sign := func(c *consensustest.Committee, i, who int, qc *consensus.QC) {
		m.Timeouts[i] = consensus.TimedOut{Signer: c.ID(who), QCRound: qc.Round(), Signature: c.Timeout(who, m.Round, qc, nil).Signature}
	}
	switch kind {
	case 0:
		number(st.script, &m.Epoch, st.c.Domain.Epoch)
	case 1:
		number(st.script, &m.Round, other.Round())
	case 2:
		m.HighQC = other
	case 3:
		m.HighQC = st.lieQC(m.HighQC)
	case 4: // one who was missing, or one twice
		m.Timeouts = append(m.Timeouts, consensus.TimedOut{})
		sign(st.c, len(m.Timeouts)-1, member, other)
	case 5:
		m.Timeouts = slices.Delete(m.Timeouts, at, at+1)
	case 6:
		m.Timeouts = append(m.Timeouts, m.Timeouts[at])
	case 7:
		number(st.script, &m.Timeouts[at].QCRound, m.Timeouts[to].QCRound)
	case 8:
		st.bytes(m.Timeouts[at].Signature[:], m.Timeouts[to].Signature[:])
	case 9:
		m.Timeouts[at], m.Timeouts[to] = m.Timeouts[to], m.Timeouts[at]
	case 10:
		m.Timeouts[at].Signer = pick(st.script, []consensus.ValidatorID{st.c.ID(member), st.strangers.ID(0), {}})
	case 11: // another QC round than before, rightly signed
		sign(st.c, at, member, other)
	case 12:
		sign(st.strangers, at, 0, other)
	case 13:
		sign(pick(st.script, st.foreign), at, member, other)
	case 14:
		m.Timeouts[at].Signature = st.otherKind(member, other.Data)
	}
	return m
}
