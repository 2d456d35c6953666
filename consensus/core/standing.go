package core

import (
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

// mark is what elections need of one block.
type mark struct {
	round  consensus.Round
	failed consensus.FailedAt
}

// standing is what a chain says of its leaders at its newest block. It follows from the headers alone, and from few of
// them: each holds the result of all before it. The zero standing is that of genesis: nobody has failed. Immutable.
type standing struct {
	proposer consensus.ValidatorID
	newest   [3]mark // of the block, its parent and its grandparent: as many as any commit rule needs
	judged   []byte  // the failed leaders as of the newest block committed on the chain, as the QC of the block has it
}

// child returns the standing of a block on this one. What the QC of the block commits, by a rule under which that takes
// chain consecutive rounds, is what its children are judged by: the same for everybody who holds them (P30).
func (s standing) child(h consensus.Header, chain consensus.Round) standing {
	own := mark{round: h.Round, failed: consensus.FailedAt{Timestamp: h.Timestamp, Failed: h.Failed}}
	out := standing{proposer: h.Proposer, newest: [3]mark{own, s.newest[0], s.newest[1]}, judged: s.judged}
	if out.commits(chain) {
		out.judged = out.newest[chain-1].failed.Failed
	}
	return out
}

// commits reports whether the QC of the newest block commits one: its round and those before it are consecutive.
func (s standing) commits(chain consensus.Round) bool {
	for i := range chain - 1 {
		if s.newest[i].round != s.newest[i+1].round+1 {
			return false
		}
	}
	return true
}

func (s standing) tip() Tip {
	return Tip{Round: s.newest[0].round, Proposer: s.proposer, Failed: s.judged}
}

// Lineage reads the headers that a Recovery needs, newest first: the root's, and as many of its ancestors' as it takes to
// know by which committed block the chain judges its leaders. read returns the header of the committed block at a height
// above 0; its errors are Lineage's.
func Lineage(rule consensus.CommitRule, root consensus.BlockInfo, read func(consensus.Height) (consensus.Header, error)) ([]consensus.Header, error) {
	var lineage []consensus.Header
	chain := safety.ForChain(rule).Chain()
	wanted := chain // blocks of consecutive rounds
	for height := root.Height; height > 0; height-- {
		h, err := read(height)
		if err != nil {
			return nil, err
		}
		lineage = append(lineage, h)
		if wanted--; wanted == 0 {
			break
		}
		if h.Round != h.ParentRound+1 {
			wanted = chain
		}
	}
	return lineage, nil
}

// rootStanding goes up the lineage of a recovered root. What lies below it can make no difference: the chain of
// consecutive rounds at its lower end decides by itself.
func rootStanding(rec Recovery, chain consensus.Round) standing {
	var s standing
	if len(rec.Lineage) == 0 && rec.Root.Height > 0 {
		panic(fmt.Sprintf("core: no lineage of the root %v", rec.Root))
	}
	for i := len(rec.Lineage) - 1; i >= 0; i-- {
		s = s.child(rec.Lineage[i], chain)
	}
	if s.newest[0].round != rec.Root.Round {
		panic(fmt.Sprintf("core: the lineage of the root %v ends in round %d", rec.Root, s.newest[0].round))
	}
	return s
}

// failed returns what Header.Failed of a block on parent may be: the leaders of the rounds between the two, of the last
// SkippedWindow of them, judged by the parent's chain, join those of the parent (P39).
func (c *Core) failed(parent standing, round consensus.Round, timestamp consensus.Timestamp) consensus.FailedChoice {
	first := parent.newest[0].round + 1
	if round > consensus.SkippedWindow {
		first = max(first, round-consensus.SkippedWindow)
	}
	var skipped []consensus.ValidatorID
	for r := first; r < round; r++ {
		skipped = append(skipped, c.cfg.Election.Leader(r, parent.tip()))
	}
	return c.cfg.Validators.FoldFailed(parent.newest[0].failed, timestamp, skipped)
}
