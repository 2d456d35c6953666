package engine

import (
	"context"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/mempool"
)

// compactOf is a verified compact proposal of a round, told from others of it by tag.
func compactOf(t *testing.T, c *consensustest.Committee, round consensus.Round, tag string) *rebuild {
	t.Helper()
	qc := c.GenesisQC()
	for qc.Round()+1 < round {
		qc = c.QC(c.Data(c.Block(qc, qc.Round()+1, nil)))
	}
	p := c.Proposal(c.Block(qc, round, nil, tag), nil)
	compact, err := c.Verifier().CompactProposal(p.Compact(func([]byte) bool { return false }))
	if err != nil {
		t.Fatal(err)
	}
	return &rebuild{from: c.ID(0), compact: compact}
}

// TestRebuildsAreBounded: of one sender at most MaxRebuilds, the newest rounds; of another one as many.
func TestRebuildsAreBounded(t *testing.T) {
	c := consensustest.New(1, 1, 1, 1)
	all := rebuilds{}
	of := func(round consensus.Round, tag string) *rebuild { return compactOf(t, c, round, tag) }
	first, second := of(2, "a"), of(3, "a")
	for _, step := range []struct {
		what string
		r    *rebuild
		want bool
	}{
		{"the first", first, true},
		{"the same block", of(2, "a"), false},
		{"the second", second, true},
		{"one more of the lowest round", of(2, "b"), false},
		{"one of a higher round", of(4, "a"), true},
		{"what gave way", of(2, "a"), false},
		{"one more of a round among them", of(3, "b"), false},
	} {
		if got := all.add(step.r); got != step.want {
			t.Fatalf("%s: %v", step.what, got)
		}
		if n := len(all[c.ID(0)]); n > MaxRebuilds {
			t.Fatalf("%s: %d at a time", step.what, n)
		}
	}
	if first.dropped.Err() == nil || second.dropped.Err() != nil {
		t.Error("the oldest alone must end")
	}
	other := of(2, "a")
	other.from = c.ID(1)
	if !all.add(other) {
		t.Error("another sender has its own")
	}
	all.remove(second)
	all.remove(other)
	if !all.add(of(2, "a")) || len(all) != 1 {
		t.Errorf("%d senders, or no room", len(all))
	}
	all.remove(first) // after it was dropped
}

// TestPoolIsAwaited: what arrives in the pool within poolPatience is not missing; the wait ends at once when all is there,
// and after poolPatience when it is not.
func TestPoolIsAwaited(t *testing.T) {
	for name, test := range map[string]struct {
		arrives time.Duration
		took    time.Duration
		missing int
	}{
		"it is there":     {0, 0, 0},
		"just in time":    {poolPatience - time.Millisecond, poolPatience - time.Millisecond + poolRest, 0},
		"just afterwards": {poolPatience + time.Millisecond, poolPatience, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := mempool.New(mempool.Config{App: counter.Counter{}, State: func() app.State { return noState{} }, Now: time.Now})
				e := &Engine{env: Env{Pool: pool, Clock: bubble{}}}
				tx := counter.Tx("a", 0)
				r := &rebuild{bodies: make([][]byte, 2)}
				r.missing = consensus.PayloadRequest{Positions: []uint32{1}, Hashes: []consensus.Hash{sha256.Sum256(tx)}}
				for i, tx := range []app.Tx{counter.Tx("other", 0), tx} {
					time.AfterFunc(test.arrives/time.Duration(2-i), func() {
						if _, err := pool.Add(tx, mempool.Peer); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				start := time.Now()
				e.awaitPool(context.Background(), r, poolPatience)
				if took := time.Since(start); took != test.took || len(r.missing.Positions) != test.missing {
					t.Errorf("after %v: %d missing", took, len(r.missing.Positions))
				}
				if test.missing == 0 && string(r.bodies[1]) != string(tx) {
					t.Errorf("it found %q", r.bodies[1])
				}
				<-time.After(test.arrives) // nothing is left in the bubble
			})
		})
	}
}

// bubble is the clock of a synctest bubble.
type bubble struct{}

func (bubble) Now() time.Time                         { return time.Now() }
func (bubble) After(d time.Duration) <-chan time.Time { return time.After(d) }

type noState struct{}

func (noState) Get([]byte) ([]byte, error) { return nil, nil }
