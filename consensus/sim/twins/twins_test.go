package twins

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
)

// TestClasses counts prefixes three ways: by Burnside, by what All yields, and by the canonical forms of all sequences.
func TestClasses(t *testing.T) {
	for _, tc := range []struct {
		validators, twins, sets, rounds int
		choices, symmetries             int
		classes                         int64
	}{
		{4, 1, 2, 1, 64, 12, 15},
		{4, 1, 2, 2, 64, 12, 510},
		{4, 1, 2, 3, 64, 12, 25740},
		{4, 2, 2, 2, 128, 16, 1752},
		{4, 0, 2, 2, 32, 24, 60},
		{3, 1, 3, 3, 42, 4, 20088},
	} {
		s := NewSpace(tc.validators, tc.twins, tc.sets)
		if s.Choices() != tc.choices || s.Symmetries() != tc.symmetries {
			t.Errorf("%+v: %d choices, %d symmetries", tc, s.Choices(), s.Symmetries())
		}
		canonical := map[string]bool{}
		for raw := range sequences(s.Choices(), tc.rounds) {
			canonical[fmt.Sprint(s.Canonical(raw))] = true
		}
		var last []int
		all := 0
		for choices := range s.All(tc.rounds) {
			if !canonical[fmt.Sprint(choices)] || slices.Compare(last, choices) >= 0 {
				t.Fatalf("%+v: %v after %v", tc, choices, last)
			}
			last = slices.Clone(choices)
			all++
		}
		burnside := s.Classes(tc.rounds).Int64()
		if int64(all) != burnside || int64(len(canonical)) != burnside || burnside != tc.classes {
			t.Errorf("%+v: Burnside %d, generated %d, found %d", tc, burnside, all, len(canonical))
		}
		t.Logf("%+v: %d classes", tc, burnside)
	}
}

func sequences(choices, rounds int) func(func([]int) bool) {
	return func(yield func([]int) bool) {
		seq := make([]int, rounds)
		for {
			if !yield(seq) {
				return
			}
			i := rounds - 1
			for ; i >= 0; i-- {
				if seq[i]++; seq[i] < choices {
					break
				}
				seq[i] = 0
			}
			if i < 0 {
				return
			}
		}
	}
}

// TestCanonical: renaming changes a sequence and never its canonical form, which is its own.
func TestCanonical(t *testing.T) {
	spaces := []*Space{Small(), NewSpace(4, 2, 3), NewSpace(5, 1, 3)}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(spaces).Draw(t, "space")
		choices := rapid.SliceOfN(rapid.IntRange(0, s.Choices()-1), 0, 6).Draw(t, "choices")
		g := rapid.IntRange(0, s.Symmetries()-1).Draw(t, "symmetry")
		renamed := make([]int, len(choices))
		for i, c := range choices {
			renamed[i] = s.image(c, g)
		}
		canonical := s.Canonical(choices)
		if got := s.Canonical(renamed); !slices.Equal(got, canonical) {
			t.Fatalf("%v has %v, renamed %v", choices, canonical, got)
		}
		if got := s.Canonical(canonical); !slices.Equal(got, canonical) || slices.Compare(canonical, choices) > 0 {
			t.Fatalf("%v has %v, which has %v", choices, canonical, got)
		}
	})
}

// TestPlan: all of the prefix first, then samples, without duplicates, the same each time.
func TestPlan(t *testing.T) {
	plan := Plan{Rule: consensus.ThreeChain, Seed: 9, Cases: 600, Exhaustive: 2}
	seen, lengths, large, real := map[string]int{}, map[int]int{}, 0, 0
	var lines []string
	for s := range plan.All() {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, s.Line())
		if n := len(lines) - 1; s.Seed != 9+uint64(n) {
			t.Fatalf("case %d has seed %d", n, s.Seed)
		}
		if s.Real {
			real++
		}
		if s.Validators == 7 {
			large++
		}
		lengths[len(s.Rounds)]++
		bare := *s
		bare.Seed, bare.Real = 0, false
		if before, twice := seen[bare.Line()]; twice {
			t.Fatalf("cases %d and %d are both %s", before, len(lines), bare.Line())
		}
		seen[bare.Line()] = len(lines)
	}
	if len(lines) != 600 || lengths[2] != 510 || len(lengths) != 7 || large != 4 || real != 12 {
		t.Errorf("%d cases, lengths %v, %d large, %d real", len(lines), lengths, large, real)
	}
	i := 0
	for s := range plan.All() {
		if s.Line() != lines[i] {
			t.Fatalf("case %d: %s, then %s", i, lines[i], s.Line())
		}
		if i++; i == 500 {
			break
		}
	}
	plan.Cases = 10
	if n := len(slices.Collect(plan.All())); n != 10 {
		t.Errorf("%d cases of 10", n)
	}
}

// TestRoundTrip: both ways of writing a scenario read back as the same one.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Scenario{
			Rule:       rapid.SampledFrom(consensus.CommitRules()).Draw(t, "rule"),
			Validators: rapid.IntRange(1, MaxValidators).Draw(t, "validators"),
			Seed:       rapid.Uint64().Draw(t, "seed"), Real: rapid.Bool().Draw(t, "real"),
		}
		for i := range rapid.IntRange(0, s.Validators-1).Draw(t, "twins") {
			s.Twins = append(s.Twins, i+1)
		}
		sets := rapid.SliceOfN(rapid.Uint8Range(0, 40), s.Nodes(), s.Nodes())
		for range rapid.IntRange(0, 9).Draw(t, "rounds") {
			s.Rounds = append(s.Rounds, Round{
				Leader: rapid.IntRange(0, s.Validators-1).Draw(t, "leader"), Partition: Partition(sets.Draw(t, "sets")).ordered(),
			})
		}
		line := s.Line()
		back, err := ParseLine(line)
		if err != nil || back.Line() != line {
			t.Fatalf("%s reads back as %+v, %v", line, back, err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var again Scenario
		if err := json.Unmarshal(text, &again); err != nil || again.Line() != line {
			t.Fatalf("%s reads back as %+v, %v", text, again, err)
		}
	})
}

const written = `{"rule":"two_chain","validators":4,"twins":[0],"seed":7,"rounds":[` +
	`{"leader":"v0","partitions":[["v0","v1","v0'"],["v2","v3"]]},{"leader":"v3","partitions":[["v0","v1","v2","v3","v0'"]]}]}`

func TestJSON(t *testing.T) {
	var s Scenario
	if err := json.Unmarshal([]byte(written), &s); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Line(), "two_chain/4/0/7/0.00110,3.00000"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if text, err := json.Marshal(&s); err != nil || string(text) != written {
		t.Errorf("%s, %v", text, err)
	}
	if err := json.Unmarshal([]byte(strings.Replace(written, `[["v0","v1","v0'"],["v2","v3"]]`, `[["v3"],["v0'","v0"]]`, 1)), &s); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Line(), "two_chain/4/0/7/0.01230,3.00000"; got != want { // whom no set names is alone
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct{ old, new, want string }{
		{`"two_chain"`, `"four_chain"`, "commit rule"},
		{`"validators":4`, `"validators":17`, "17 validators"},
		{`"validators":4`, `"validators":0`, "0 validators"},
		{`"twins":[0]`, `"twins":[4]`, "[4] are not validators"},
		{`"twins":[0]`, `"twins":[1,0]`, "ascending"},
		{`"twins":[0]`, `"twins":[0,1,2,3]`, "nobody honest"},
		{`"leader":"v3"`, `"leader":"v4"`, `round 2: no validator "v4" leads`},
		{`"leader":"v3"`, `"leader":"v0'"`, `round 2: no validator "v0'" leads`},
		{`["v2","v3"]`, `["v2","v2"]`, `round 1: node "v2" is in two sets`},
		{`["v2","v3"]`, `["v2","v1'"]`, `round 1: there is no node "v1'"`},
		{`"seed"`, `"seeds"`, "unknown field"},
		{`"seed":7`, `"seed":-7`, "cannot unmarshal"},
	} {
		text := strings.Replace(written, tc.old, tc.new, 1)
		var s Scenario
		if err := json.Unmarshal([]byte(text), &s); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", text, err, tc.want)
		}
	}
	for _, line := range []string{
		"", "two_chain/4/0/7", "x/4/0/7/", "two_chain/a/0/7/", "two_chain/4/a/7/", "two_chain/4/0/a/", "two_chain/4/0/7/0.0011",
		"two_chain/4/0/7/a.00110", "two_chain/4/0/7/0.0011_", "two_chain/4/0/7/0.10000", "two_chain/4/0/7/4.00000", "two_chain/4/0/7/0.00110,",
		"two_chain/4/0/7/" + strings.Repeat("0.00110,", MaxRounds) + "0.00110",
	} {
		if s, err := ParseLine(line); err == nil {
			t.Errorf("%q reads as %+v", line, s)
		}
	}
	limit := "two_chain/4/0/7/" + strings.Repeat("0.00110,", MaxRounds-1) + "0.00110"
	if _, err := ParseLine(limit); err != nil {
		t.Error(err)
	}
}
