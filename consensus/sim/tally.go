package sim

import (
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus/sim/adversary"
)

// Tally adds up the reports of a set of runs. Reports must be added in the order of their seeds.
type Tally struct {
	Cases      int
	Steps      int
	Simulated  time.Duration
	Violations []*Violation
	Reached    map[string]int
	TraceHash  [32]byte // over the trace hashes of all runs, in order
	MustReach  int      // so many runs are too many to miss one of the required counters
	required   []string
	rare       []string // required of ten times as many runs
}

// NewTally returns an empty Tally for runs of seeds.
func NewTally() *Tally {
	return &Tally{Reached: map[string]int{}, MustReach: RunsThatMustReach, required: required()}
}

// NewTwinsTally returns an empty Tally for scenarios of Twins.
func NewTwinsTally() *Tally {
	return &Tally{Reached: map[string]int{}, MustReach: TwinsThatMustReach, required: requiredOfTwins(), rare: rareForTwins()}
}

// Add adds one run.
func (t *Tally) Add(r Report) {
	t.Cases++
	t.Steps += r.Steps
	t.Simulated += r.Simulated
	if r.Violation != nil {
		t.Violations = append(t.Violations, r.Violation)
	}
	for what, n := range r.Reached {
		t.Reached[what] += n
	}
	t.TraceHash = sha256.Sum256(append(t.TraceHash[:], r.TraceHash[:]...))
}

// RunsThatMustReach is the number of runs from which on a set that misses one of the required counters proves too
// little to pass.
const RunsThatMustReach = 500

// TwinsThatMustReach is the same for scenarios of Twins.
const TwinsThatMustReach = 1000

func (t *Tally) mustReach() []string {
	if t.Cases >= 10*t.MustReach {
		return slices.Concat(t.required, t.rare)
	}
	return t.required
}

// Missing returns what no run of the set got to although it should.
func (t *Tally) Missing() (missing []string) {
	for _, what := range t.mustReach() {
		if t.Reached[what] == 0 {
			missing = append(missing, what)
		}
	}
	return missing
}

// required are the counters without which a set of runs proves little.
func required() []string {
	names := []string{
		"QC formed", "TC formed", "QC and TC of one round", "three TCs in a row", "vote after TC", "empty block",
		"three blocks committed at once", "transfer committed", "sequence used twice", "admission full", "resent",
		"rebroadcast", "orphan", "fetch started", "fetch failed", "blocks fetched", "helped", "vote held",
		"lost", "duplicated", "overtaken", "clogged", "cut off", "crash", "all crash at a point", "device error",
		"safety record repaired", "dead for ever", "fork of depth two", "replacement", "equivocation seen",
		"proposal from the pool", "proposal lacks transactions", "transactions fetched", "transactions not given",
		"faulty message refused", "message dropped", "execution refused", "failed leader let back in", "failed leader kept out",
		"batch shared again", "batch put off", "answer to nothing",
	}
	for _, name := range slices.Sorted(maps.Keys(adversary.Zoo())) {
		names = append(names, "adversary "+name+" acted")
	}
	for kind := range faultKinds {
		names = append(names, kind.String())
	}
	for _, point := range crashPoints {
		names = append(names, "crash at "+string(point))
	}
	return names
}

func requiredOfTwins() []string {
	return []string{
		"QC formed", "TC formed", "three TCs in a row", "vote after TC", "vote held", "three blocks committed at once",
		"resent", "rebroadcast", "orphan", "helped", "fetch started", "fetch failed", "blocks fetched", "cut off", "equivocation seen", "twins vote against each other", "two blocks on one",
	}
}

// rareForTwins are what ten times as many scenarios must reach.
func rareForTwins() []string { return []string{"QC and TC of one round", "two branches of two blocks"} }

// twiceEvery is how often a run is repeated and compared, by its seed. It shares no factor with realSignaturesEvery, so
// that runs with fast signatures and with real ones are.
const twiceEvery = 49

// RunChecked is Run; every forty-ninth seed runs twice, and a difference between the two is a violation.
func RunChecked(cfg Config) Report {
	r := Run(cfg)
	if cfg.Seed%twiceEvery != 0 || r.Violation != nil {
		return r
	}
	cfg.Trace = nil
	if again := Run(cfg); again.TraceHash != r.TraceHash {
		r.Violation = &Violation{
			Seed: cfg.Seed, Rule: cfg.Rule, At: r.Simulated, Invariant: "determinism", Detail: "two runs of the seed differ",
		}
		r.Violation.Replay = r.Violation.replaySeed()
	}
	return r
}
