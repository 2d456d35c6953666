package safety_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

// paper is the predicates of a rule set, written down once more.
type paper struct {
	vote    func(s safety.State, r, qc consensus.Round, tc *consensus.TC) bool
	timeout func(s safety.State, r, qc consensus.Round) bool // beside the certificates that travel with it
	locks   func(s safety.State, qc, parent consensus.Round) consensus.Round
}

var papers = map[consensus.CommitRule]paper{
	consensus.TwoChain: { // DiemBFT v4
		vote: func(s safety.State, r, qc consensus.Round, tc *consensus.TC) bool {
			return r > s.LastVoted && (r == qc+1 || tc != nil && r == tc.Round+1 && qc >= tc.HighQC.Round())
		},
		timeout: func(s safety.State, r, qc consensus.Round) bool { return qc >= s.Locked && r >= s.LastVoted },
		locks:   func(s safety.State, qc, _ consensus.Round) consensus.Round { return max(s.Locked, qc) },
	},
	consensus.ThreeChain: { // LibraBFT
		vote: func(s safety.State, r, qc consensus.Round, _ *consensus.TC) bool {
			return r > s.LastVoted && qc >= s.Locked
		},
		timeout: func(s safety.State, r, _ consensus.Round) bool { return r > s.Locked && r >= s.LastVoted },
		locks:   func(s safety.State, _, parent consensus.Round) consensus.Round { return max(s.Locked, parent) },
	},
}

// TestRulesAgainstPaper drives the rules through random requests and compares every answer with the paper's predicates
// written down once more, and the whole run with what it is all for: one vote, one timeout, one proposal a round.
func TestRulesAgainstPaper(t *testing.T) {
	for rule, paper := range papers {
		t.Run(rule.String(), func(t *testing.T) { rapid.Check(t, againstPaper(safety.ForChain(rule), paper)) })
	}
}

func againstPaper(rules safety.Rules, paper paper) func(*rapid.T) {
	return func(t *rapid.T) {
		round := rapid.Custom(func(t *rapid.T) consensus.Round { return consensus.Round(rapid.Uint64Range(1, 9).Draw(t, "round")) })
		s := safety.Initial(epoch)
		votes, timeouts, proposals := map[consensus.Round]consensus.VoteData{}, map[consensus.Round]*consensus.Timeout{}, map[consensus.Round]consensus.Hash{}
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			before := s
			r := round.Draw(t, "r")
			qc := consensus.Round(rapid.Uint64Range(0, uint64(r)-1).Draw(t, "qc"))
			var tc *consensus.TC
			if rapid.Bool().Draw(t, "with tc") {
				tr := round.Draw(t, "tc round")
				tc = tcOf(tr, consensus.Round(rapid.Uint64Range(0, uint64(tr)-1).Draw(t, "tc high")))
			}
			parent := consensus.Round(rapid.Uint64Range(0, uint64(max(qc, 1))-1).Draw(t, "parent"))
			b := chained(r, qc, parent, byte(rapid.IntRange(0, 1).Draw(t, "variant")))
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				repeat := s.LastVote != nil && s.LastVote.Data.Block == outcome(b) && s.LastVote.Data.Parent == b.QC.Block() &&
					s.LastVote.Data.Commit == rules.CommitTarget(r, b.QC)
				allowed := paper.vote(s, r, qc, tc)
				next, vote, err := rules.Vote(s, b, outcome(b), tc)
				if (err == nil) != (allowed || repeat) {
					t.Fatalf("vote for r%d on r%d, TC %v, in %+v: %v", r, qc, tc, s, err)
				}
				if err == nil {
					if known, ok := votes[r]; ok && known != vote.Data {
						t.Fatalf("two votes in round %d", r)
					}
					if locked := paper.locks(s, qc, parent); !repeat && next.Locked != locked {
						t.Fatalf("vote for r%d on r%d on r%d in %+v locks %d, want %d", r, qc, parent, s, next.Locked, locked)
					}
					votes[r], s = vote.Data, next
				}
			case 1:
				repeat := s.LastTimeout != nil && s.LastTimeout.Round == r
				justified := r == qc+1 || tc != nil && r == tc.Round+1
				next, timeout, err := rules.Timeout(s, r, qcOf(qc), tc)
				if (err == nil) != (repeat || justified && paper.timeout(s, r, qc)) {
					t.Fatalf("timeout of r%d with r%d, TC %v, in %+v: %v", r, qc, tc, s, err)
				}
				if err == nil {
					if known, ok := timeouts[r]; ok && known != timeout {
						t.Fatalf("two timeouts in round %d", r)
					}
					timeouts[r], s = timeout, next
				}
			case 2:
				next, err := safety.Propose(s, b)
				if (err == nil) != (r > s.LastProposed || r == s.LastProposed && b.ID() == s.LastProposal) {
					t.Fatalf("proposal of r%d in %+v: %v", r, s, err)
				}
				if err == nil {
					if known, ok := proposals[r]; ok && known != b.ID() {
						t.Fatalf("two proposals in round %d", r)
					}
					proposals[r], s = b.ID(), next
				}
			case 3: // a restart
				decoded, err := safety.Decode(s.Encode())
				if err != nil {
					t.Fatal(err)
				}
				if raised := safety.Raise(rules, decoded, nil, nil); raised.LastVoted != s.LastVoted || raised.Locked != s.Locked {
					t.Fatalf("the restarted %+v is not %+v", raised, s)
				}
			}
			if s.LastVoted < before.LastVoted || s.Locked < before.Locked || s.LastProposed < before.LastProposed {
				t.Fatalf("%+v forgets what %+v knew", s, before)
			}
		}
	}
}

// fuzzRules lets the fuzzer choose the requests.
func fuzzRules(f *testing.F, rule consensus.CommitRule) {
	f.Add([]byte{})
	f.Fuzz(rapid.MakeFuzz(againstPaper(safety.ForChain(rule), papers[rule])))
}

func FuzzTwoChainRules(f *testing.F)   { fuzzRules(f, consensus.TwoChain) }
func FuzzThreeChainRules(f *testing.F) { fuzzRules(f, consensus.ThreeChain) }
