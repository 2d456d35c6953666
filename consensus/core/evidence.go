package core

import "github.com/cairnchain/cairn/consensus"

// EvidenceWindow is how many rounds below ours statements are remembered, to find a validator that contradicts them. A
// message of an older round is not looked at.
const EvidenceWindow consensus.Round = 32

// witness remembers what validators signed in the rounds from EvidenceWindow below ours to VoteWindow above it, and finds
// those who sign two contents of one kind in one round (P42).
//
// It sees every verified message that is handed to the core, whether it is of use or not, in any order: proposals, votes,
// the votes inside timeouts, timeouts, and the parts of certificates that were new to us. So it finds whoever contradicts
// itself in two of those while the round is in the window, however late the second one comes: after the QC has formed, or
// the round has been left. It does not find what only others saw; what was seen before a restart, but for the newest
// certificates; and blocks that came in a fetch, which their leader's signature does not accompany.
//
// It holds one statement per kind, validator and round: a few megabytes with MaxValidators, for whatever a peer sends.
type witness struct {
	seen map[consensus.Round]map[consensus.EvidenceKey]sighting
}

// sighting is the first statement under its key.
type sighting struct {
	statement consensus.Statement
	accused   bool // evidence was noted: one piece for each key is enough
}

func newWitness() witness {
	return witness{seen: map[consensus.Round]map[consensus.EvidenceKey]sighting{}}
}

// look compares a verified statement with the first one under its key. It returns evidence at most once for each key.
func (w witness) look(s consensus.Statement) *consensus.Evidence {
	round := w.seen[s.Round]
	if round == nil {
		round = map[consensus.EvidenceKey]sighting{}
		w.seen[s.Round] = round
	}
	first, ok := round[s.EvidenceKey]
	if !ok {
		round[s.EvidenceKey] = sighting{statement: s}
		return nil
	}
	evidence, found := consensus.NewEvidence(first.statement, s)
	if !found || first.accused {
		return nil
	}
	first.accused = true
	round[s.EvidenceKey] = first
	return evidence
}

// inWindow reports whether statements of a round are remembered.
func (c *Core) inWindow(round consensus.Round) bool {
	return round+EvidenceWindow >= c.round && round <= c.round+VoteWindow
}

func (c *Core) witnessProposal(p *consensus.Proposal) {
	c.guardBlock(p.Block, "in a proposal")
	if c.inWindow(p.Block.Round) {
		c.accuse(p.Statement())
	}
}

func (c *Core) witnessVote(v *consensus.Vote) {
	if v.Signer == c.cfg.Self {
		c.guardVote(v.Data, "in a vote")
	}
	if c.inWindow(v.Round()) {
		c.accuse(v.Statement())
	}
}

func (c *Core) witnessTimeout(t *consensus.Timeout) {
	if t.Signer == c.cfg.Self {
		c.guardTimeout(t.Round, t.QC.Round(), "in a timeout")
	}
	if c.inWindow(t.Round) {
		c.accuse(t.Statement(c.cfg.Domain.Epoch))
	}
}

// witnessQC looks at the votes in a certificate that is new to us. Two certificates of one round and different data have
// a third of the power in common: the evidence against each of those comes with the Halt.
func (c *Core) witnessQC(qc *consensus.QC) {
	if c.inWindow(qc.Round()) {
		c.accuse(qc.Statements()...)
	}
}

// witnessTC looks at the timeouts in a certificate that is new to us.
func (c *Core) witnessTC(tc *consensus.TC) {
	if c.inWindow(tc.Round) {
		c.accuse(tc.Statements()...)
	}
}

func (c *Core) accuse(statements ...consensus.Statement) {
	for _, s := range statements {
		c.hear(s)
		if evidence := c.witness.look(s); evidence != nil {
			c.note(Equivocation{Evidence: evidence})
			if s.Signer == c.cfg.Self {
				c.foreign(s.EvidenceKey, "beside another one of ours")
			}
		}
	}
}

// dropWitnessed forgets what lies below the window.
func (c *Core) dropWitnessed() {
	for round := range c.witness.seen {
		if !c.inWindow(round) {
			delete(c.witness.seen, round)
		}
	}
	for key := range c.guard.signed {
		if !c.inWindow(key.Round) {
			delete(c.guard.signed, key)
		}
	}
}
