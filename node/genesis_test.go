package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnchain/cairn/consensus"
)

var (
	keyA = strings.Repeat("a", 64)
	keyB = strings.Repeat("b", 64)
)

func sampleGenesis() string {
	return `{
  "chainId": "test-1",
  "commitRule": "two_chain",
  "contiguousRounds": 3,
  "election": "round_robin",
  "timestamp": "2026-01-31T12:00:00.250Z",
  "validators": [
    {"name": "one", "publicKey": "` + keyA + `", "power": 1},
    {"name": "two", "publicKey": "` + keyB + `", "power": 281474976710656}
  ],
  "app": {"z": [1, 2.50, "<ä>"], "a": {"c": null, "b": true}}
}`
}

func TestGenesisDocument(t *testing.T) {
	d, err := ParseGenesis([]byte(sampleGenesis()))
	if err != nil {
		t.Fatal(err)
	}
	g, err := d.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":{"b":true,"c":null},"z":[1,2.50,"<ä>"]}`; string(g.AppDocument) != want {
		t.Errorf("application's part: %s, want %s", g.AppDocument, want)
	}
	want := time.Date(2026, 1, 31, 12, 0, 0, 250e6, time.UTC).UnixMilli()
	if int64(g.Timestamp) != want || g.ContiguousRounds != 3 || g.ChainID != "test-1" || g.Validators.Len() != 2 ||
		g.Validators.TotalPower() != 1<<48+1 {
		t.Errorf("%+v", g)
	}
	again, err := ParseGenesis(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, again); diff != "" {
		t.Error(diff)
	}
}

// The chain's identity depends on what the document says, not on how it is laid out.
func TestGenesisIdentity(t *testing.T) {
	hash := func(text string) string {
		t.Helper()
		d, err := ParseGenesis([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		g, err := d.Genesis()
		if err != nil {
			t.Fatal(err)
		}
		return g.Hash().String()
	}
	base := hash(sampleGenesis())
	for name, change := range map[string][2]string{
		"white space":  {"\n", " \n\t"},
		"order in app": {`"c": null, "b": true`, `"b": true, "c": null`},
		"escape":       {`<ä>`, `\u003c\u00e4>`},
		"time zone":    {"T12:00:00.250Z", "T13:00:00.25+01:00"},
		"fraction":     {".250Z", ".250000Z"},
	} {
		if hash(strings.ReplaceAll(sampleGenesis(), change[0], change[1])) != base {
			t.Errorf("%s changes the hash", name)
		}
	}
	swapped := strings.NewReplacer("one", "two", "two", "one", keyA, keyB, keyB, keyA, `"power": 1}`, `"power": 281474976710656}`,
		`"power": 281474976710656}`, `"power": 1}`)
	if text := strings.Replace(swapped.Replace(sampleGenesis()), `"one_chain"`, `"two_chain"`, 1); hash(fixRule(text)) != base {
		t.Error("the order of validators changes the hash")
	}
	for name, change := range map[string][2]string{
		"chain id": {"test-1", "test-2"}, "rounds": {"3,", "2,"}, "election": {"round_robin", "reputation"}, "timestamp": {".250Z", ".251Z"},
		"name": {`"one"`, `"eno"`}, "key": {keyA, strings.Repeat("c", 64)}, "power": {`"power": 1}`, `"power": 2}`},
		"app": {"2.50", "2.51"}, "number in app": {"2.50", "2.5"},
	} {
		text := strings.Replace(sampleGenesis(), change[0], change[1], 1)
		if text == sampleGenesis() || hash(text) == base {
			t.Errorf("%s does not change the hash", name)
		}
	}
}

// fixRule undoes what swapping "two" did to the commit rule.
func fixRule(text string) string { return strings.Replace(text, "one_chain", "two_chain", 1) }

func TestGenesisDefaults(t *testing.T) {
	d, err := ParseGenesis([]byte(strings.Replace(sampleGenesis(), `"contiguousRounds": 3,`, "", 1)))
	if err != nil || d.ContiguousRounds != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	text := strings.Replace(sampleGenesis(), `"contiguousRounds": 3,`, "", 1)
	d, err = ParseGenesis([]byte(strings.Replace(text, "two_chain", "three_chain", 1)))
	if err != nil || d.ContiguousRounds != 3 || d.CommitRule != "three_chain" {
		t.Errorf("%+v, %v", d, err)
	}
	if g, err := d.Genesis(); err != nil || g.Election != consensus.RoundRobin {
		t.Errorf("%+v, %v", g, err)
	}
	elected, err := ParseGenesis([]byte(strings.Replace(sampleGenesis(), `"election": "round_robin",`, "", 1)))
	if err != nil || elected.Election != "reputation" {
		t.Errorf("%+v, %v", elected, err)
	}
	if g, err := d.Genesis(); err != nil || g.Rule != consensus.ThreeChain || g.ContiguousRounds != 3 {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestGenesisRefuses(t *testing.T) {
	for name, change := range map[string]struct{ old, new, says string }{
		"unknown key":         {`"commitRule"`, `"commitRules"`, "did you mean commitRule?"},
		"other case":          {`"chainId"`, `"chainID"`, "did you mean chainId?"},
		"unknown member key":  {`"power": 1}`, `"power": 1, "weight": 2}`, "validators[0].weight"},
		"key twice":           {`"chainId": "test-1",`, `"chainId": "test-1", "chainId": "test-1",`, "twice"},
		"key twice in app":    {`"b": true`, `"b": true, "b": false`, "twice"},
		"no chain id":         {"test-1", "", "chain id"},
		"long chain id":       {"test-1", strings.Repeat("x", 65), "64"},
		"rule":                {"two_chain", "four_chain", "two_chain"},
		"election":            {"round_robin", "lottery", "reputation"},
		"empty election":      {"round_robin", "", "reputation"},
		"rounds 0":            {`"contiguousRounds": 3`, `"contiguousRounds": 0`, "1…64"},
		"rounds 65":           {`"contiguousRounds": 3`, `"contiguousRounds": 65`, "1…64"},
		"rounds negative":     {`"contiguousRounds": 3`, `"contiguousRounds": -1`, "contiguousRounds"},
		"no time":             {"2026-01-31T12:00:00.250Z", "yesterday", "timestamp"},
		"time too fine":       {".250Z", ".2501Z", "millisecond"},
		"time before 1970":    {"2026", "1969", "positive"},
		"no power":            {`"power": 1}`, `"power": 0}`, "power"},
		"power too large":     {"281474976710656", "281474976710657", "power"},
		"name twice":          {`"two",`, `"one",`, "unique"},
		"key twice in set":    {keyB, keyA, "unique"},
		"upper-case key":      {keyA, strings.ToUpper(keyA), "validators[0].publicKey"},
		"short key":           {keyA, keyA[2:], "validators[0].publicKey"},
		"no app":              {`"app":`, `"apps":`, "did you mean app?"},
		"something follows":   {"true}}\n}", "true}}\n} x", "follows"},
		"not closed":          {"true}}\n}", "true}}", "EOF"},
		"power of wrong type": {`"power": 1}`, `"power": "1"}`, "power"},
	} {
		text := strings.Replace(sampleGenesis(), change.old, change.new, 1)
		if _, err := ParseGenesis([]byte(text)); !errors.Is(err, ErrGenesis) || !strings.Contains(err.Error(), change.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "null", "[]", "1", `{"a":`, strings.Repeat("[", 1000)} {
		if _, err := ParseGenesis([]byte(text)); !errors.Is(err, ErrGenesis) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestGenesisFile(t *testing.T) {
	d, err := ParseGenesis([]byte(sampleGenesis()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "genesis.json")
	if err := d.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := LoadGenesis(path)
	if err != nil || !bytes.Equal(got.Encode(), d.Encode()) {
		t.Error(err)
	}
	if err := d.Save(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("saved over another: %v", err)
	}
	if _, err := LoadGenesis(path + "x"); !errors.Is(err, ErrGenesis) {
		t.Error(err)
	}
}

func FuzzParseGenesis(f *testing.F) {
	f.Add([]byte(sampleGenesis()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := ParseGenesis(raw)
		if err != nil {
			return
		}
		again, err := ParseGenesis(d.Encode())
		if err != nil {
			t.Fatalf("%v\n%s", err, d.Encode())
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Error(diff)
		}
	})
}
