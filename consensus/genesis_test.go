package consensus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// TestGenesisHash: every field of the genesis, and of every validator, changes it.
func TestGenesisHash(t *testing.T) {
	base := consensustest.New(1, 2, 3)
	set := func(change func([]consensus.Validator)) *consensus.ValidatorSet {
		members := base.Set.Members()
		change(members)
		s, err := consensus.NewValidatorSet(members)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seen := map[consensus.Hash]string{base.Genesis.Hash(): "nothing"}
	for name, change := range map[string]func(*consensus.Genesis){
		"chain id":          func(g *consensus.Genesis) { g.ChainID += "x" },
		"rule":              func(g *consensus.Genesis) { g.Rule++ },
		"contiguous rounds": func(g *consensus.Genesis) { g.ContiguousRounds++ },
		"election":          func(g *consensus.Genesis) { g.Election = consensus.Reputation },
		"timestamp":         func(g *consensus.Genesis) { g.Timestamp++ },
		"application":       func(g *consensus.Genesis) { g.AppDocument = []byte("{ }") },
		"a validator less":  func(g *consensus.Genesis) { g.Validators = consensustest.New(1, 2).Set },
		"an id":             func(g *consensus.Genesis) { g.Validators = set(func(m []consensus.Validator) { m[0].ID[19] ^= 1 }) },
		"a name":            func(g *consensus.Genesis) { g.Validators = set(func(m []consensus.Validator) { m[0].Name = "other" }) },
		"a key":             func(g *consensus.Genesis) { g.Validators = set(func(m []consensus.Validator) { m[0].Key[0] ^= 1 }) },
		"a power":           func(g *consensus.Genesis) { g.Validators = set(func(m []consensus.Validator) { m[0].Power++ }) },
	} {
		g := *base.Genesis
		change(&g)
		if other, same := seen[g.Hash()]; same {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[g.Hash()] = name
		info, _ := g.Block(consensus.Hash{1})
		if info.ID == base.Root.ID {
			t.Errorf("%s: the genesis block's id does not change", name)
		}
	}
}

func elect(rule consensus.CommitRule, election consensus.Election, contiguous consensus.Round) func(*consensus.Genesis) {
	return func(g *consensus.Genesis) { g.Rule, g.Election, g.ContiguousRounds = rule, election, contiguous }
}

func TestGenesisValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*consensus.Genesis)
		ok     bool
	}{
		"right":                                    {func(*consensus.Genesis) {}, true},
		"no chain id":                              {func(g *consensus.Genesis) { g.ChainID = "" }, false},
		"longest chain id":                         {func(g *consensus.Genesis) { g.ChainID = strings.Repeat("x", consensus.MaxChainID) }, true},
		"chain id too long":                        {func(g *consensus.Genesis) { g.ChainID = strings.Repeat("x", consensus.MaxChainID+1) }, false},
		"no rule":                                  {func(g *consensus.Genesis) { g.Rule = 0 }, false},
		"unknown rule":                             {func(g *consensus.Genesis) { g.Rule = 4 }, false},
		"the other rule":                           {func(g *consensus.Genesis) { g.Rule = consensus.ThreeChain }, true},
		"no contiguous rounds":                     {func(g *consensus.Genesis) { g.ContiguousRounds = 0 }, false},
		"one contiguous round":                     {func(g *consensus.Genesis) { g.ContiguousRounds = 1 }, true},
		"most contiguous rounds":                   {func(g *consensus.Genesis) { g.ContiguousRounds = consensus.MaxContiguousRounds }, true},
		"too many of them":                         {func(g *consensus.Genesis) { g.ContiguousRounds = consensus.MaxContiguousRounds + 1 }, false},
		"no election":                              {func(g *consensus.Genesis) { g.Election = 0 }, false},
		"an unknown election":                      {func(g *consensus.Genesis) { g.Election = 3 }, false},
		"the other election":                       {func(g *consensus.Genesis) { g.Election = consensus.Reputation }, true},
		"reputation, slots too short, two_chain":   {elect(consensus.TwoChain, consensus.Reputation, 1), false},
		"reputation, shortest slots, two_chain":    {elect(consensus.TwoChain, consensus.Reputation, 2), true},
		"reputation, slots too short, three_chain": {elect(consensus.ThreeChain, consensus.Reputation, 2), false},
		"reputation, shortest slots, three_chain":  {elect(consensus.ThreeChain, consensus.Reputation, 3), true},
		"reputation, longer slots, three_chain":    {elect(consensus.ThreeChain, consensus.Reputation, 4), true},
		"round_robin, slots of one":                {elect(consensus.ThreeChain, consensus.RoundRobin, 1), true},
		"no time":                                  {func(g *consensus.Genesis) { g.Timestamp = 0 }, false},
		"nobody":                                   {func(g *consensus.Genesis) { g.Validators = nil }, false},
		"an empty document for it":                 {func(g *consensus.Genesis) { g.AppDocument = nil }, true},
	} {
		g := *consensustest.New(1).Genesis
		c.change(&g)
		if err := g.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGenesisBlock(t *testing.T) {
	c := consensustest.New(1)
	info, history := c.Genesis.Block(consensus.Hash{7})
	if info.Epoch != consensus.FirstEpoch || info.Round != 0 || info.Height != 0 || info.Timestamp != c.Genesis.Timestamp ||
		info.StateRoot != (consensus.Hash{7}) || info.ReceiptsRoot != consensus.MerkleRoot(nil) || !info.NextValidators.IsZero() {
		t.Errorf("genesis block %+v", info)
	}
	if history.Size() != 1 || info.HistoryRoot != history.Root() || history.Root() != (consensus.History{}).Append(info.Leaf()).Root() {
		t.Errorf("history of %d leaves, root %v, named %v", history.Size(), history.Root(), info.HistoryRoot)
	}
	other, _ := c.Genesis.Block(consensus.Hash{8})
	if other.ID != info.ID || other.HistoryRoot == info.HistoryRoot {
		t.Error("the id is the genesis document's, the history root covers the state")
	}
	if d := c.Genesis.Domain(); d.ChainID != c.Genesis.ChainID || d.Genesis != c.Genesis.Hash() || d.Rule != c.Genesis.Rule || d.Epoch != consensus.FirstEpoch {
		t.Errorf("domain %+v", d)
	}
}

// TestTexts: what String prints is read back; nothing else is.
func TestTexts(t *testing.T) {
	hash, id := consensus.Hash{0xab, 31: 1}, consensus.IDOf(signature.PublicKey{3})
	if got, err := consensus.ParseHash(hash.String()); err != nil || got != hash {
		t.Errorf("hash: %v, %v", got, err)
	}
	if got, err := consensus.ParseValidatorID(id.String()); err != nil || got != id {
		t.Errorf("validator id: %v, %v", got, err)
	}
	for name, rule := range map[string]consensus.CommitRule{"two_chain": consensus.TwoChain, "three_chain": consensus.ThreeChain} {
		if got, err := consensus.ParseCommitRule(name); err != nil || got != rule || rule.String() != name || !rule.IsKnown() {
			t.Errorf("rule: %v, %v", got, err)
		}
	}
	for name, election := range map[string]consensus.Election{"reputation": consensus.Reputation, "round_robin": consensus.RoundRobin} {
		if got, err := consensus.ParseElection(name); err != nil || got != election || election.String() != name || !election.IsKnown() {
			t.Errorf("election: %v, %v", got, err)
		}
	}
	if consensus.Election(0).IsKnown() || consensus.Election(3).IsKnown() {
		t.Error("an unknown election is known")
	}
	for _, s := range []string{"", "1", "Reputation", "round robin", "election(1)"} {
		if _, err := consensus.ParseElection(s); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("election %q: %v", s, err)
		}
	}
	if s := consensus.Election(9).String(); s != "election(9)" {
		t.Errorf("an unknown election is called %q", s)
	}
	if consensus.CommitRule(0).IsKnown() || consensus.CommitRule(1).IsKnown() || consensus.CommitRule(4).IsKnown() {
		t.Error("an unknown rule is known")
	}
	for _, s := range []string{"", "0x", strings.ToUpper(hash.String()), hash.String()[1:], hash.String() + "0", "0x" + hash.String()[2:], strings.Repeat("g", 64), id.String()} {
		if _, err := consensus.ParseHash(s); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("hash %q: %v", s, err)
		}
	}
	for _, s := range []string{"", strings.ToUpper(id.String()) + "AB", id.String()[2:], hash.String()} {
		if _, err := consensus.ParseValidatorID(s); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("validator id %q: %v", s, err)
		}
	}
	for _, s := range []string{"", "2", "Two_chain", "four_chain", "commit_rule(2)"} {
		if _, err := consensus.ParseCommitRule(s); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("rule %q: %v", s, err)
		}
	}
	if s := consensus.CommitRule(9).String(); s != "commit_rule(9)" {
		t.Errorf("an unknown rule is called %q", s)
	}
	if (consensus.BlockInfo{}).String() != "none" || !(consensus.BlockInfo{}).IsNone() || !(consensus.Hash{}).IsZero() || !(consensus.ValidatorID{}).IsZero() {
		t.Error("none is not none")
	}
}
