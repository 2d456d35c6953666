//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/node/e2e/record"
)

// signatures is everything that validators were seen to sign.
type signatures struct {
	content map[slot]string
	count   map[record.Kind]int
	signers map[string]int // votes by signer
}

// slot is where one signature is allowed.
type slot struct {
	kind   record.Kind
	signer string
	epoch  uint64
	round  uint64
}

func newSignatures() *signatures {
	return &signatures{content: map[slot]string{}, count: map[record.Kind]int{}, signers: map[string]int{}}
}

// add takes one line in; the error says what was signed twice with two contents.
func (s *signatures) add(l record.Line) error {
	at := slot{l.Kind, l.Signer, l.Epoch, l.Round}
	before, seen := s.content[at]
	if seen && before != l.Content {
		return fmt.Errorf("validator %s signed two different %ss in round %d: %s and %s", l.Signer, l.Kind, l.Round, before,
			l.Content)
	}
	if !seen {
		s.content[at] = l.Content
		s.count[l.Kind]++
		if l.Kind == record.Vote {
			s.signers[l.Signer]++
		}
	}
	return nil
}

// signedOnce reads what all nodes received in all their lives, and fails if a validator signed twice in a round who is no
// cheat.
func (n *testnet) signedOnce(cheats ...*member) *signatures {
	n.t.Helper()
	s := newSignatures()
	cheating := func(id string) bool {
		return slices.ContainsFunc(cheats, func(m *member) bool { return m.id == id })
	}
	files, err := filepath.Glob(filepath.Join(n.records(), "*"))
	if err != nil {
		n.t.Fatal(err)
	}
	lives := 0
	for _, m := range n.members {
		lives += m.lives
	}
	if len(files) != lives {
		n.t.Fatalf("%d records of %d lives", len(files), lives)
	}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			n.t.Fatal(err)
		}
		defer file.Close()
		reader := bufio.NewReader(file)
		for {
			text, err := reader.ReadString('\n')
			if err != nil {
				break // the end, or the line that a kill cut short
			}
			line, err := record.Parse(strings.TrimSuffix(text, "\n"))
			if err == nil && !cheating(line.Signer) {
				err = s.add(line)
			}
			if err != nil {
				n.t.Errorf("%s: %v", filepath.Base(path), err)
			}
		}
	}
	n.t.Logf("signatures seen: %v; votes by validator: %v", s.count, s.signers)
	if len(s.signers) != len(n.members)-len(cheats) {
		n.t.Errorf("votes of %d validators were seen", len(s.signers))
	}
	return s
}

// The check itself: it takes repetitions, and finds what must not be.
func TestSignaturesFindsDoubleSigning(t *testing.T) {
	line := record.Line{
		Kind: record.Vote, Signer: strings.Repeat("a", 40), Epoch: 1, Round: 7, Content: strings.Repeat("0", 64),
	}
	if back, err := record.Parse(line.String()); err != nil || back != line {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := record.Parse(line.String()[:150]); err == nil {
		t.Error("a torn line was read")
	}
	s := newSignatures()
	for _, change := range []func(*record.Line){
		func(*record.Line) {}, func(*record.Line) {},
		func(l *record.Line) { l.Round, l.Content = 8, strings.Repeat("1", 64) },
		func(l *record.Line) { l.Epoch, l.Content = 2, strings.Repeat("1", 64) },
		func(l *record.Line) { l.Kind, l.Content = record.Timeout, strings.Repeat("1", 64) },
		func(l *record.Line) { l.Signer, l.Content = strings.Repeat("b", 40), strings.Repeat("1", 64) },
	} {
		other := line
		change(&other)
		if err := s.add(other); err != nil {
			t.Error(err)
		}
	}
	line.Content = strings.Repeat("2", 64)
	if err := s.add(line); err == nil {
		t.Error("two contents in one round were not found")
	}
}
