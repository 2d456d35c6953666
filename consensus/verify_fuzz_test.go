package consensus_test

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
)

// trial is one message that a script made up: what the production verifier says of it, what the oracle says, and its
// encoding where it has one.
type trial struct {
	verify func(*consensus.Verifier) error
	want   bool
	again  func(*consensus.Verifier) (verdict error, decodes bool) // of what its encoding decodes to
}

// tried decodes what m encodes to and verifies that.
func tried[M any](m M, want bool, verify func(*consensus.Verifier, M) error, encode func(M) []byte, decode func([]byte) (M, error)) trial {
	return trial{
		want:   want,
		verify: func(v *consensus.Verifier) error { return verify(v, m) },
		again: func(v *consensus.Verifier) (error, bool) {
			back, err := decode(encode(m))
			if err != nil {
				return nil, false
			}
			return verify(v, back), true
		},
	}
}

// verifiers are the checks of everything that a peer can send, each with its made-up messages.
func verifiers() map[string]func(*stage) trial {
	return map[string]func(*stage) trial{
		"vote":      (*stage).tryVote,
		"QC":        (*stage).tryQC,
		"TC":        (*stage).tryTC,
		"timeout":   (*stage).tryTimeout,
		"proposal":  (*stage).tryProposal,
		"compact":   (*stage).tryCompact,
		"sync info": (*stage).trySyncInfo,
		"chunk":     (*stage).tryChunk,
	}
}

func (st *stage) tryVote() trial {
	data := st.c.Data(pick(st.script, st.blocks))
	late := st.draw(2) == 1 // what is changed late is not signed
	member := st.draw(st.c.Len())
	lies := st.lies()
	for range lies {
		if !late {
			st.lieData(&data)
		}
	}
	v := st.c.Vote(member, data)
	for range lies {
		switch kind := st.draw(5); {
		case !late:
		case kind == 0:
			st.lieData(&v.Data)
		case kind == 1:
			st.bytes(v.Signature[:], st.c.Vote(member, st.c.Data(st.blocks[0])).Signature[:])
		case kind == 2:
			v.Signer = pick(st.script, []consensus.ValidatorID{st.c.ID(st.draw(st.c.Len())), st.strangers.ID(0), {}})
		case kind == 3:
			v.Signature = st.otherKind(member, v.Data)
		case kind == 4:
			v = st.strangers.Vote(0, v.Data)
		}
	}
	return tried(v, naive{st.c}.vote(v), func(by *consensus.Verifier, v *consensus.Vote) error { _, err := by.Vote(v); return err },
		(*consensus.Vote).Encode, consensus.DecodeVote)
}

func (st *stage) tryQC() trial {
	q := st.qc()
	for range st.lies() {
		q = st.lieQC(q)
	}
	return tried(q, naive{st.c}.qc(q), func(by *consensus.Verifier, q *consensus.QC) error { _, err := by.QC(q); return err },
		(*consensus.QC).Encode, consensus.DecodeQC)
}

func (st *stage) tryTC() trial {
	tc := st.tc()
	for range st.lies() {
		tc = st.lieTC(tc)
	}
	return tried(tc, naive{st.c}.tc(tc), func(by *consensus.Verifier, t *consensus.TC) error { _, err := by.TC(t); return err },
		(*consensus.TC).Encode, consensus.DecodeTC)
}

// reason is what allows a message of a round: the QC of the round before, or an older one and the TC of that round.
func (st *stage) reason() (round consensus.Round, qc *consensus.QC, tc *consensus.TC) {
	qc = st.qc()
	if st.draw(2) == 0 {
		return qc.Round() + 1, qc, nil
	}
	tc = st.tc()
	if qc.Round() >= tc.Round {
		qc = st.qcs[0]
	}
	return tc.Round + 1, qc, tc
}

func (st *stage) lieReason(qc **consensus.QC, tc **consensus.TC) {
	switch kind := st.draw(6); {
	case kind == 0:
		*qc = pick(st.script, st.qcs)
	case kind == 1:
		*qc = st.lieQC(*qc)
	case kind == 2:
		*tc = st.tc()
	case kind == 3 || *tc == nil:
		*tc = nil
	default:
		*tc = st.lieTC(*tc)
	}
}

func (st *stage) tryTimeout() trial {
	member, draft := st.draw(st.c.Len()), &consensus.Timeout{}
	draft.Round, draft.QC, draft.TC = st.reason()
	if st.draw(2) == 1 {
		draft.Vote = &consensus.Vote{Data: st.c.Data(st.c.Block(draft.QC, draft.Round, nil))}
	}
	early := st.lies()
	for range early {
		switch st.draw(4) {
		case 0:
			number(st.script, &draft.Round, draft.QC.Round())
		case 1:
			draft.Vote = &consensus.Vote{Data: st.c.Data(pick(st.script, st.blocks))}
		default:
			st.lieReason(&draft.QC, &draft.TC)
		}
	}
	m := st.c.Identity(member).Timeout(draft).Get()
	for range st.lies() {
		switch st.draw(7) {
		case 0:
			number(st.script, &m.Round, m.QC.Round())
		case 1:
			st.lieReason(&m.QC, &m.TC)
		case 2:
			data := st.c.Data(pick(st.script, st.blocks))
			if m.Vote != nil && st.draw(2) == 0 {
				data = m.Vote.Data
			}
			m.Vote = st.c.Vote(st.draw(st.c.Len()), data)
		case 3:
			m.Signer = pick(st.script, []consensus.ValidatorID{st.c.ID(st.draw(st.c.Len())), st.strangers.ID(0), {}})
		case 4:
			st.bytes(m.Signature[:], st.c.Timeout(member, 1, st.qcs[0], nil).Signature[:])
		case 5:
			m = pick(st.script, st.foreign).Identity(member).Timeout(m).Get()
		case 6:
			m.Signature = st.otherKind(member, st.c.Data(st.blocks[0]))
		}
	}
	return tried(m, naive{st.c}.timeout(m), func(by *consensus.Verifier, t *consensus.Timeout) error { _, err := by.Timeout(t); return err },
		(*consensus.Timeout).Encode, consensus.DecodeTimeout)
}

// lieBlock changes a block's header or QC; the id changes with the header.
func (st *stage) lieBlock(b *consensus.Block) *consensus.Block {
	h, qc, other := b.Header, b.QC, pick(st.script, st.blocks)
	switch st.draw(9) {
	case 0:
		number(st.script, &h.Epoch, other.Epoch)
	case 1:
		number(st.script, &h.Round, other.Round)
	case 2:
		number(st.script, &h.Height, other.Height)
	case 3:
		st.bytes(h.Parent[:], other.Parent[:])
	case 4:
		number(st.script, &h.ParentRound, other.ParentRound)
	case 5:
		st.bytes(h.ParentStateRoot[:], other.ParentStateRoot[:])
	case 6:
		number(st.script, &h.Timestamp, other.Timestamp)
	case 7:
		h.Proposer = pick(st.script, []consensus.ValidatorID{st.c.ID(st.draw(st.c.Len())), st.strangers.ID(0), {}})
	case 8:
		var none *consensus.TC
		st.lieReason(&qc, &none)
	}
	return consensus.NewBlock(h, qc, b.Payload)
}

func (st *stage) tryProposal() trial {
	p := st.proposal()
	return tried(p, naive{st.c}.proposal(p), func(by *consensus.Verifier, p *consensus.Proposal) error { _, err := by.Proposal(p); return err },
		(*consensus.Proposal).Encode, consensus.DecodeProposal)
}

// tryCompact compacts a proposal, true or not, and lies about its parts; those inline are hashed as a receiver does.
func (st *stage) tryCompact() trial {
	whole := st.proposal()
	which := st.draw(4)
	c := whole.Compact(func(tx []byte) bool { return which == 0 || which == 1 && string(tx) == "x" })
	for range st.lies() {
		at := st.draw(max(1, len(c.Parts)))
		switch kind := st.draw(6); {
		case kind == 0:
			c.Parts = append(c.Parts, consensus.Part{Hash: sha256.Sum256(nil), Body: []byte{}})
		case len(c.Parts) == 0:
		case kind == 1:
			c.Parts = slices.Delete(c.Parts, at, at+1)
		case kind == 2:
			c.Parts[at] = consensus.Part{Hash: sha256.Sum256([]byte("z")), Body: []byte("z")}
		case kind == 3:
			c.Parts[at].Body = nil
			st.bytes(c.Parts[at].Hash[:], whole.Block.PayloadRoot[:])
		case kind == 4:
			c.Parts[at], c.Parts[0] = c.Parts[0], c.Parts[at]
		case kind == 5:
			c.Parts[at].Body = nil // named by its hash is as good
		}
	}
	return tried(c, naive{st.c}.compact(c), func(by *consensus.Verifier, c *consensus.CompactProposal) error {
		_, err := by.CompactProposal(c)
		return err
	}, (*consensus.CompactProposal).Encode, consensus.DecodeCompactProposal)
}

// proposal is one that is right, or has lies in its block, its signature or beside them.
func (st *stage) proposal() *consensus.Proposal {
	round, qc, tc := st.reason()
	p := &consensus.Proposal{Block: st.c.Block(qc, round, nil, "x", "yy", "z"), TC: tc}
	for range st.lies() {
		p.Block = st.lieBlock(p.Block)
	}
	member := max(0, st.c.Set.Index(p.Block.Proposer))
	p = st.c.Identity(member).Proposal(p).Get()
	for range st.lies() {
		switch st.draw(6) {
		case 0:
			p.Block = st.lieBlock(p.Block)
		case 1:
			st.lieReason(&p.Block.QC, &p.TC) // beside the id, which does not cover the QC
		case 2:
			st.bytes(p.Signature[:], st.c.Proposal(st.blocks[0], nil).Signature[:])
		case 3:
			p = st.c.Identity(st.draw(st.c.Len())).Proposal(p).Get()
		case 4:
			p = pick(st.script, st.foreign).Identity(member).Proposal(p).Get()
		case 5:
			p.Signature = st.otherKind(member, st.c.Data(st.blocks[0]))
		}
	}
	return p
}

func (st *stage) trySyncInfo() trial {
	s := &consensus.SyncInfo{HighQC: st.qc()}
	if st.draw(2) == 1 {
		s.CommitQC = st.qc()
	}
	if st.draw(2) == 1 {
		s.TC = st.tc()
	}
	for range st.lies() {
		switch kind := st.draw(4); {
		case kind == 0:
			s.HighQC = st.lieQC(s.HighQC)
		case kind == 1 && s.CommitQC != nil:
			s.CommitQC = st.lieQC(s.CommitQC)
		default:
			st.lieReason(&s.HighQC, &s.TC)
		}
	}
	return tried(s, naive{st.c}.syncInfo(s), func(by *consensus.Verifier, s *consensus.SyncInfo) error { _, err := by.SyncInfo(s); return err },
		(*consensus.SyncInfo).Encode, consensus.DecodeSyncInfo)
}

func (st *stage) tryChunk() trial {
	first := st.draw(len(st.blocks))
	last := first + st.draw(len(st.blocks)-first)
	target := last + st.draw(len(st.blocks)-last)
	req := consensus.FetchRequest{Target: consensustest.Outcome(st.blocks[target]), From: st.blocks[first].Height}
	c := &consensus.Chunk{Blocks: slices.Clone(st.blocks[first : last+1])}
	if last != target || st.draw(2) == 1 {
		c.Certificate = st.qcs[last+1]
	}
	for range st.lies() {
		at := st.draw(max(1, len(c.Blocks)))
		switch kind := st.draw(9); {
		case kind == 0:
			number(st.script, &req.From, req.Target.Height)
		case kind == 1:
			number(st.script, &req.Target.Height, req.From)
		case kind == 2:
			c.Certificate = nil
		case kind == 3 && c.Certificate != nil:
			c.Certificate = st.lieQC(c.Certificate)
		case kind == 4:
			c.Certificate = st.qc()
		case len(c.Blocks) == 0:
		case kind == 5:
			c.Blocks[at] = st.lieBlock(c.Blocks[at])
		case kind == 6:
			c.Blocks = slices.Delete(c.Blocks, at, at+1)
		case kind == 7:
			c.Blocks = slices.Insert(c.Blocks, at, pick(st.script, st.blocks))
		case kind == 8:
			b := c.Blocks[at]
			c.Blocks[at] = consensus.NewBlock(b.Header, st.lieQC(b.QC), b.Payload)
		}
	}
	return trial{
		want:   naive{st.c}.chunk(req, c),
		verify: func(by *consensus.Verifier) error { _, err := by.Chunk(req, c); return err },
		again:  func(*consensus.Verifier) (error, bool) { return nil, false }, // it travels as its parts
	}
}

// play verifies what a script makes up, with and without a cache, as it is and as it decodes, and returns the verdict.
func play(t *testing.T, raw []byte, strangers *consensustest.Committee, try func(*stage) trial) error {
	st := newStage(&script{raw: raw}, strangers)
	one := try(st)
	plain, cached := st.c.Verifier(), st.c.Verifier()
	cached.Cache = cache{}
	verdict := one.verify(plain)
	for i, v := range []*consensus.Verifier{plain, cached, cached} {
		err := one.verify(v)
		if (err == nil) != one.want || err != nil && !isKnown(err) {
			t.Fatalf("script %x, verifier %d: %v, the oracle says %v", raw, i, err, one.want)
		}
		if again, decodes := one.again(v); decodes && (again == nil) != one.want {
			t.Fatalf("script %x, verifier %d: decoded: %v, the oracle says %v", raw, i, again, one.want)
		}
	}
	return verdict
}

// randomScript is one of up to 80 bytes.
func randomScript(rng *rand.Rand) []byte {
	raw := make([]byte, rng.IntN(80))
	for i := range raw {
		raw[i] = byte(rng.Uint32())
	}
	return raw
}

// TestVerifiersAgainstNaive: of thousands of made-up messages of every kind both verifiers say the same, and each says
// yes and each kind of no often enough to prove something.
func TestVerifiersAgainstNaive(t *testing.T) {
	strangers := consensustest.NewEd25519(1, 1)
	for name, try := range verifiers() {
		t.Run(name, func(t *testing.T) {
			runs := 1000
			if name == "chunk" {
				runs = 2500 // few of its lies are about signatures
			}
			rng, verdicts := rand.New(rand.NewPCG(5, 8)), map[error]int{}
			for range runs {
				verdict := play(t, randomScript(rng), strangers, try)
				at := slices.IndexFunc(known, func(k error) bool { return errors.Is(verdict, k) })
				if at >= 0 {
					verdicts[known[at]]++
				} else {
					verdicts[nil]++
				}
			}
			t.Log(verdicts)
			if verdicts[nil] < runs/10 || runs-verdicts[nil] < runs/10 {
				t.Errorf("verdicts %v: one side was hardly tried", verdicts)
			}
			for _, k := range known {
				if verdicts[k] == 0 && (name != "vote" || !errors.Is(k, consensus.ErrNoQuorum)) {
					t.Errorf("no script of %d leads to %q", runs, k)
				}
			}
		})
	}
}

// fuzzVerifier looks for a script on which the production verifier and the oracle differ.
func fuzzVerifier(f *testing.F, name string) {
	rng, strangers := rand.New(rand.NewPCG(1, 3)), consensustest.NewEd25519(1, 1)
	f.Add([]byte{})
	for range 20 {
		f.Add(randomScript(rng))
	}
	try := verifiers()[name]
	f.Fuzz(func(t *testing.T, raw []byte) { _ = play(t, raw, strangers, try) })
}

func FuzzVerifyVote(f *testing.F)            { fuzzVerifier(f, "vote") }
func FuzzVerifyQC(f *testing.F)              { fuzzVerifier(f, "QC") }
func FuzzVerifyTC(f *testing.F)              { fuzzVerifier(f, "TC") }
func FuzzVerifyTimeout(f *testing.F)         { fuzzVerifier(f, "timeout") }
func FuzzVerifyProposal(f *testing.F)        { fuzzVerifier(f, "proposal") }
func FuzzVerifyCompactProposal(f *testing.F) { fuzzVerifier(f, "compact") }
func FuzzVerifySyncInfo(f *testing.F)        { fuzzVerifier(f, "sync info") }
func FuzzVerifyChunk(f *testing.F)           { fuzzVerifier(f, "chunk") }
