package node

import (
	"bytes"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// logLines collects what nodes log.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	return paths
}

// answersOf reads all that the node of a home answers: each block with its receipts, and by the wallets' transfers the
// state root that holds every account.
func answersOf(t *testing.T, home Home) (map[consensus.Height]storage.Record, consensus.Height) {
	t.Helper()
	n, err := alone(t, home, &logLines{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	all := map[consensus.Height]storage.Record{}
	tip := n.Store().Tip().Height
	for h := range tip + 1 {
		if all[h], err = n.Store().Block(h); err != nil {
			t.Fatal(err)
		}
	}
	if tip < 12 {
		t.Fatalf("only %d blocks", tip)
	}
	return all, tip
}

// tryAnswers opens a home and compares what it answers.
func tryAnswers(t *testing.T, home Home, right map[consensus.Height]storage.Record, tip consensus.Height) string {
	t.Helper()
	n, err := alone(t, home, &logLines{})
	if err != nil {
		if RefusalOf(err) != RefusedCorrupt {
			t.Fatalf("%v is refusal %q", err, RefusalOf(err))
		}
		return "refused"
	}
	defer n.Close()
	s := n.Store()
	if s.Tip() != right[s.Tip().Height].Info {
		t.Fatalf("the tip is %v", s.Tip())
	}
	for h := range s.Tip().Height + 1 {
		record, err := s.Block(h)
		if errors.Is(err, storage.ErrCorrupt) {
			return "refused"
		}
		if err != nil || record.Info != right[h].Info || len(record.Receipts) != len(right[h].Receipts) {
			t.Fatalf("height %d: %v, %v", h, record.Info, err)
		}
		for i, receipt := range record.Receipts {
			if !bytes.Equal(receipt.Encode(), right[h].Receipts[i].Encode()) {
				t.Fatalf("receipt %d of height %d: %+v", i, h, receipt)
			}
		}
	}
	if s.Tip().Height < tip {
		return "earlier"
	}
	return "unaffected"
}
