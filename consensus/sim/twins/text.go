package twins

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cairnchain/cairn/consensus"
)

// document is a scenario as JSON.
type document struct {
	Rule       string          `json:"rule"`
	Validators int             `json:"validators"`
	Twins      []int           `json:"twins"`
	Seed       uint64          `json:"seed"`
	Ed25519    bool            `json:"ed25519,omitempty"`
	Rounds     []documentRound `json:"rounds"`
}

type documentRound struct {
	Leader     string     `json:"leader"`
	Partitions [][]string `json:"partitions"`
}

// MarshalJSON writes nodes by their names.
func (s *Scenario) MarshalJSON() ([]byte, error) {
	d := document{
		Rule: s.Rule.String(), Validators: s.Validators, Twins: append([]int{}, s.Twins...), Seed: s.Seed,
		Ed25519: s.Real, Rounds: []documentRound{},
	}
	for _, r := range s.Rounds {
		out := documentRound{Leader: s.Name(r.Leader)}
		for node, set := range r.Partition {
			for int(set) >= len(out.Partitions) {
				out.Partitions = append(out.Partitions, nil)
			}
			out.Partitions[set] = append(out.Partitions[set], s.Name(node))
		}
		d.Rounds = append(d.Rounds, out)
	}
	return json.Marshal(d)
}

// UnmarshalJSON reads and validates. Sets and their nodes may come in any order; a node that no set names is alone.
// Unknown keys are errors.
func (s *Scenario) UnmarshalJSON(b []byte) error {
	var d document
	decoder := json.NewDecoder(strings.NewReader(string(b)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return fmt.Errorf("twins: %w", err)
	}
	rule, err := consensus.ParseCommitRule(d.Rule)
	if err != nil {
		return fmt.Errorf("twins: %w", err)
	}
	out := Scenario{Rule: rule, Validators: d.Validators, Twins: d.Twins, Seed: d.Seed, Real: d.Ed25519}
	if err := out.Validate(); err != nil {
		return err
	}
	for i, r := range d.Rounds {
		round, err := out.roundOf(r)
		if err != nil {
			return fmt.Errorf("twins: round %d: %w", i+1, err)
		}
		out.Rounds = append(out.Rounds, round)
	}
	if err := out.Validate(); err != nil {
		return err
	}
	*s = out
	return nil
}

func (s *Scenario) roundOf(d documentRound) (Round, error) {
	names := make([]string, s.Nodes())
	for node := range names {
		names[node] = s.Name(node)
	}
	leader := slices.Index(names[:s.Validators], d.Leader)
	if leader < 0 {
		return Round{}, fmt.Errorf("no validator %q leads", d.Leader)
	}
	sets := make(Partition, s.Nodes())
	for node := range sets {
		sets[node] = uint8(len(names) + node) // alone until a set names it
	}
	for set, members := range d.Partitions {
		for _, name := range members {
			node := slices.Index(names, name)
			switch {
			case node < 0:
				return Round{}, fmt.Errorf("there is no node %q", name)
			case int(sets[node]) < len(names):
				return Round{}, fmt.Errorf("node %q is in two sets", name)
			}
			sets[node] = uint8(set)
		}
	}
	return Round{Leader: leader, Partition: sets.ordered()}, nil
}

// Line writes the scenario as one word, for the command line: rule/validators/twins/seed/rounds, where a round is its
// leader and one digit for the set of each node: two_chain/4/0/7/0.00110,3.01011. "real" before the rule's name asks
// for real signatures.
func (s *Scenario) Line() string {
	var twins, rounds []string
	for _, t := range s.Twins {
		twins = append(twins, strconv.Itoa(t))
	}
	for _, r := range s.Rounds {
		sets := []byte(nil)
		for _, set := range r.Partition {
			sets = append(sets, strconv.FormatUint(uint64(set), 36)...)
		}
		rounds = append(rounds, fmt.Sprintf("%d.%s", r.Leader, sets))
	}
	line := fmt.Sprintf("%v/%d/%s/%d/%s", s.Rule, s.Validators, strings.Join(twins, ","), s.Seed, strings.Join(rounds, ","))
	if s.Real {
		return realPrefix + line
	}
	return line
}

const realPrefix = "real/"

// ParseLine reads what Line writes, and validates it.
func ParseLine(line string) (*Scenario, error) {
	rest, real := strings.CutPrefix(line, realPrefix)
	parts := strings.Split(rest, "/")
	if len(parts) != 5 {
		return nil, fmt.Errorf("twins: %q is not rule/validators/twins/seed/rounds", line)
	}
	rule, err := consensus.ParseCommitRule(parts[0])
	if err != nil {
		return nil, fmt.Errorf("twins: %w", err)
	}
	s := &Scenario{Rule: rule, Real: real}
	if s.Validators, err = strconv.Atoi(parts[1]); err != nil {
		return nil, fmt.Errorf("twins: number of validators: %w", err)
	}
	for _, text := range list(parts[2]) {
		t, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("twins: twin: %w", err)
		}
		s.Twins = append(s.Twins, t)
	}
	if s.Seed, err = strconv.ParseUint(parts[3], 10, 64); err != nil {
		return nil, fmt.Errorf("twins: seed: %w", err)
	}
	for i, text := range list(parts[4]) {
		r, err := parseRound(text)
		if err != nil {
			return nil, fmt.Errorf("twins: round %d: %w", i+1, err)
		}
		s.Rounds = append(s.Rounds, r)
	}
	return s, s.Validate()
}

func parseRound(text string) (r Round, err error) {
	leader, sets, _ := strings.Cut(text, ".")
	if r.Leader, err = strconv.Atoi(leader); err != nil {
		return r, fmt.Errorf("leader: %w", err)
	}
	for _, digit := range sets {
		set, err := strconv.ParseUint(string(digit), 36, 8)
		if err != nil {
			return r, fmt.Errorf("set of a node: %w", err)
		}
		r.Partition = append(r.Partition, uint8(set))
	}
	return r, nil
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
