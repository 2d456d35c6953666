package node

import (
	"github.com/spf13/pflag"

	"github.com/cairnchain/cairn/consensus"
)

// AddRuleFlag declares --commit-rule, which sets o.CommitRule when it is given.
func (o *NetworkOptions) AddRuleFlag(flags *pflag.FlagSet) {
	flags.Var(ruleFlag{&o.CommitRule}, "commit-rule", "which certificates commit a block of a new chain: two_chain, or "+
		"three_chain (one round more) (default two_chain)")
}

// ruleFlag is the flag's value.
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
