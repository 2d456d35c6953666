package node

import (
	"github.com/spf13/pflag"

	"github.com/cairnchain/cairn/consensus"
)

// AddChainFlags declares --commit-rule and --election, which set o.CommitRule and o.Election when they are given.
func (o *NetworkOptions) AddChainFlags(flags *pflag.FlagSet) {
	flags.Var(ruleFlag{&o.CommitRule}, "commit-rule", "which certificates commit a block of a new chain: two_chain, or "+
		"three_chain (one round more) (default two_chain)")
	flags.Var(electionFlag{&o.Election}, "election", "who leads the rounds of a new chain: reputation, which passes over "+
		"leaders that lately failed, or round_robin (default reputation)")
}

// ruleFlag is the value of --commit-rule.
type ruleFlag struct{ rule *consensus.CommitRule }

// String is empty while no rule is chosen.
func (f ruleFlag) String() string {
	if f.rule == nil || *f.rule == 0 {
		return ""
	}
	return f.rule.String()
}

// Type is what help shows for the value.
func (f ruleFlag) Type() string { return "rule" }

// Set reads a rule's name; an unknown one is consensus.ErrMalformed.
func (f ruleFlag) Set(s string) error {
	rule, err := consensus.ParseCommitRule(s)
	if err == nil {
		*f.rule = rule
	}
	return err
}

// electionFlag is the value of --election.
type electionFlag struct{ election *consensus.Election }

// String is empty while no election is chosen.
func (f electionFlag) String() string {
	if f.election == nil || *f.election == 0 {
		return ""
	}
	return f.election.String()
}

// Type is what help shows for the value.
func (f electionFlag) Type() string { return "election" }

// Set reads an election's name; an unknown one is consensus.ErrMalformed.
func (f electionFlag) Set(s string) error {
	election, err := consensus.ParseElection(s)
	if err == nil {
		*f.election = election
	}
	return err
}
