package follow_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/node/follow"
)

func TestMain(m *testing.M) {
	// goleveldb leaves it behind for a second after it is closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// A listener gets every block, under both commit rules, and goes on where it was after a restart.
func TestFollows(t *testing.T) {
	for _, rule := range []consensus.CommitRule{consensus.TwoChain, consensus.ThreeChain} {
		t.Run(rule.String(), func(t *testing.T) {
			w := newWorld(t, "follows", rule)
			links := w.grow(w.root(), 60, "a")
			f, dir := w.upstream(t, links[:40]), t.TempDir()
			begun := time.Now()
			l := w.listen(t, dir, follow.Checkpoint{}, f.address)
			l.reaches(links[39])
			l.until("it follows", func() bool { return l.follower.Status().Upstream == f.address })
			if since := l.follower.Status().Since; since.Before(begun) || since.After(time.Now()) {
				t.Errorf("it follows since %v, and began at %v", since, begun)
			}
			w.fill(f.store, links[40:50])
			l.reaches(links[49])
			if err := l.halt(); err != nil {
				t.Fatal(err)
			}
			w.fill(f.store, links[50:])
			again := w.listen(t, dir, follow.Checkpoint{}, f.address)
			again.reaches(links[59])
			again.until("it knows the newest certificate", func() bool { return again.follower.Status().Target == 60 })
			if err := again.halt(); err != nil {
				t.Fatal(err)
			}
			var want []consensus.Height
			for h := range consensus.Height(60) {
				want = append(want, h+1)
			}
			if told := slices.Concat(l.told, again.told); !slices.Equal(told, want) {
				t.Errorf("it told of %v", told)
			}
			stored := w.open(dir)
			for _, link := range links {
				record, err := stored.Block(link.info.Height)
				if err != nil || record.Info != link.info || record.Proof.Commit().Height < link.info.Height {
					t.Fatalf("height %d: %+v, %v", link.info.Height, record.Info, err)
				}
				for _, qc := range []*consensus.QC{record.QC, record.Proof} {
					if _, err := w.verifier.QC(qc); err != nil {
						t.Errorf("height %d: %v", link.info.Height, err)
					}
				}
			}
			if count, err := counter.Read(stored.State(), "a"); err != nil || count != 60 {
				t.Errorf("it counts %d, %v", count, err)
			}
		})
	}
}

type tamper = func(*cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse

// from applies a lie from a height on, and leaves heartbeats alone.
func from(height uint64, lie tamper) tamper {
	return func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
		if m.Height == nil || m.GetHeight() < height {
			return []*cairnv1.StreamCommitsResponse{m}
		}
		return lie(m)
	}
}

// Whoever lies is left, and not asked again soon; what it said before is kept, and the chain goes on with another.
func TestLiarIsLeft(t *testing.T) {
	w := newWorld(t, "liars", consensus.TwoChain)
	links := w.grow(w.root(), 30, "a")
	elsewhere := newWorld(t, "elsewhere", consensus.TwoChain)
	foreign := elsewhere.grow(elsewhere.root(), 30, "a")
	side := w.grow(w.root(), 30, "side")
	replaced := func(by func(h uint64) follow.Canonical) tamper {
		return from(10, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
			c := by(m.GetHeight())
			m.Canonical = &cairnv1.CanonicalCommit{Block: c.Block, Certificate: c.Certificate, Proof: c.Proof}
			return []*cairnv1.StreamCommitsResponse{m}
		})
	}
	for name, lie := range map[string]tamper{
		"bad certificate": from(10, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
			c := m.GetCanonical()
			c.Proof[len(c.Proof)-1] ^= 1
			c.Certificate[len(c.Certificate)-1] ^= 1
			c.Block[0] ^= 1
			return []*cairnv1.StreamCommitsResponse{m}
		}),
		"missing proof": from(10, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
			m.GetCanonical().Proof = nil
			return []*cairnv1.StreamCommitsResponse{m}
		}),
		"not canonical": from(10, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
			m.Canonical = nil
			return []*cairnv1.StreamCommitsResponse{m}
		}),
		"gap": from(10, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
			if m.GetHeight() == 10 {
				return nil
			}
			return []*cairnv1.StreamCommitsResponse{m}
		}),
		"repeated": from(10, func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
			return []*cairnv1.StreamCommitsResponse{m, m}
		}),
		"other chain": replaced(func(h uint64) follow.Canonical { return foreign[h-1].canonical() }),
		"wrong parent": replaced(func(h uint64) follow.Canonical {
			c := side[h-1].canonical()
			c.Proof = links[h-1].proof.Encode()
			return c
		}),
	} {
		t.Run(name, func(t *testing.T) {
			liar, honest := w.upstream(t, links), w.upstream(t, links)
			liar.lies(lie)
			l := w.listen(t, t.TempDir(), follow.Checkpoint{}, liar.address, honest.address)
			l.reaches(links[29])
			if l.left(follow.Lie, liar.address) != 1 || liar.streams.Load() != 1 {
				t.Errorf("the liar was caught %d times on %d streams", l.left(follow.Lie, liar.address), liar.streams.Load())
			}
			if l.left(follow.Lie, honest.address) != 0 {
				t.Error("the honest one was called a liar")
			}
			if s := l.follower.Status(); s.Upstream != honest.address {
				t.Errorf("it follows %q", s.Upstream)
			}
		})
	}
}

// One that says, be it only when asked, what no quorum has signed is left as well.
func TestForgedCertificateIsALie(t *testing.T) {
	w := newWorld(t, "forged", consensus.TwoChain)
	links := w.grow(w.root(), 20, "a")
	liar, honest := w.upstream(t, links[:10]), w.upstream(t, links[:10])
	l := w.listen(t, t.TempDir(), follow.Checkpoint{}, liar.address, honest.address)
	l.reaches(links[9])
	liar.mu.Lock()
	liar.qc = func(qc *cairnv1.QuorumCertificate) { qc.Commit.Height += 1_000_000 }
	liar.mu.Unlock()
	l.until("the liar is left", func() bool { return l.left(follow.Lie, liar.address) == 1 })
	w.fill(honest.store, links[10:])
	l.reaches(links[19])
	if s := l.follower.Status(); s.Target > 21 || s.Upstream != honest.address {
		t.Errorf("%+v", s)
	}
}

// One that goes away, falls silent, is of another chain, or is behind, is left for another.
func TestSwitches(t *testing.T) {
	w := newWorld(t, "switches", consensus.TwoChain)
	links := w.grow(w.root(), 40, "a")
	elsewhere := newWorld(t, "elsewhere", consensus.TwoChain)
	for _, c := range []struct {
		name  string
		fault follow.Fault
		first func(t *testing.T) *fake
	}{
		{"gone", follow.Unreachable, func(t *testing.T) *fake {
			f := w.upstream(t, links)
			f.stop()
			return f
		}},
		{"refuses", follow.Unreachable, func(t *testing.T) *fake {
			f := w.upstream(t, links)
			f.answer = unavailable
			return f
		}},
		{"silent", follow.Silent, func(t *testing.T) *fake {
			f := w.upstream(t, links)
			f.tamper = func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
				if m.Height == nil || m.GetHeight() > 5 {
					return nil
				}
				return []*cairnv1.StreamCommitsResponse{m}
			}
			return f
		}},
		{"withholds", follow.Behind, func(t *testing.T) *fake { // with heartbeats
			f := w.upstream(t, links)
			f.tamper = from(6, func(*cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse { return nil })
			return f
		}},
		{"behind", follow.Behind, func(t *testing.T) *fake { return w.upstream(t, links[:5]) }},
		{"of another chain", follow.Unreachable, func(t *testing.T) *fake { return elsewhere.upstream(t, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := c.first(t), w.upstream(t, links)
			here := *w
			if c.fault == follow.Silent {
				here.timing.Silence, here.timing.Behind = 100*time.Millisecond, patience
			}
			l := here.listen(t, t.TempDir(), follow.Checkpoint{}, first.address, second.address)
			l.reaches(links[39])
			if l.left(c.fault, first.address) == 0 {
				t.Errorf("it noted %+v", l.notes)
			}
		})
	}
}

// A lone upstream that is behind is not left for nobody, and one that comes back is followed again.
func TestLoneUpstreamComesBack(t *testing.T) {
	w := newWorld(t, "lone", consensus.TwoChain)
	links := w.grow(w.root(), 20, "a")
	f := w.upstream(t, links[:10])
	l := w.listen(t, t.TempDir(), follow.Checkpoint{}, f.address)
	l.reaches(links[9])
	f.stop()
	l.until("the upstream is left", func() bool { return l.left(follow.Unreachable, f.address) > 0 })
	l.until("nobody is followed", func() bool { return l.follower.Status().Upstream == "" })
	f.restart(t)
	w.fill(f.store, links[10:])
	l.reaches(links[19])
}

// Two upstreams with proofs of two chains end it, whichever way the second one is met.
func TestConflictEndsIt(t *testing.T) {
	w := newWorld(t, "conflict", consensus.TwoChain)
	common := w.grow(w.root(), 5, "a")
	ours, theirs := append(slices.Clone(common), w.grow(common[4], 10, "ours")...), append(slices.Clone(common), w.grow(common[4], 10, "theirs")...)
	for _, c := range []struct {
		name  string
		first []*link
		stops bool // so that the second one is followed
	}{
		{"by its newest certificate", ours, false},
		{"by its stream", ours[:9], true},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := w.upstream(t, c.first), w.upstream(t, theirs)
			if c.stops {
				second.answer = unavailable
			}
			l := w.listen(t, t.TempDir(), follow.Checkpoint{}, first.address, second.address)
			if c.stops {
				l.reaches(ours[8])
				first.stop()
				second.mu.Lock()
				second.answer = nil
				second.mu.Unlock()
			}
			err := l.ends()
			var conflict *follow.ConflictError
			if !errors.As(err, &conflict) || !errors.Is(err, follow.ErrStopped) {
				t.Fatal(err)
			}
			for _, qc := range []*consensus.QC{conflict.OurProof, conflict.TheirProof} {
				if qc == nil {
					t.Fatalf("a proof is missing: %+v", conflict)
				}
				if _, err := w.verifier.QC(qc); err != nil {
					t.Error(err)
				}
			}
			if culprits := consensus.Offences(consensus.TwoChain, []*consensus.QC{conflict.OurProof, conflict.TheirProof}, nil); len(culprits) == 0 {
				t.Log("these two proofs alone name nobody")
			}
		})
	}
}

// What a quorum signed and we do not find is our end, not an upstream's lie.
func TestDivergenceEndsIt(t *testing.T) {
	for name, change := range map[string]func(*consensus.BlockInfo){
		"state root":    func(i *consensus.BlockInfo) { i.StateRoot[3] ^= 1 },
		"receipts root": func(i *consensus.BlockInfo) { i.ReceiptsRoot[3] ^= 1 },
		"history root":  func(i *consensus.BlockInfo) { i.HistoryRoot[3] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "diverges", consensus.TwoChain)
			good := w.grow(w.root(), 5, "a")
			all := slices.Clone(good)
			at := good[4]
			for i := range 5 {
				var wrong func(*consensus.BlockInfo)
				if i == 1 {
					wrong = change
				}
				at = w.child(at, 1, wrong, counter.Tx("b", uint64(i)))
				all = append(all, at)
			}
			w.prove(all)
			f := w.upstream(t, good)
			// No store of ours would take the rest: the upstream makes it up.
			f.lies(func(m *cairnv1.StreamCommitsResponse) []*cairnv1.StreamCommitsResponse {
				if m.Height == nil || m.GetHeight() != 5 {
					return []*cairnv1.StreamCommitsResponse{m}
				}
				out := []*cairnv1.StreamCommitsResponse{m}
				for _, l := range all[5:7] { // up to the block in question: the next one would tell as well
					c, h := l.canonical(), uint64(l.info.Height)
					out = append(out, &cairnv1.StreamCommitsResponse{Height: &h, Canonical: &cairnv1.CanonicalCommit{
						Block: c.Block, Certificate: c.Certificate, Proof: c.Proof,
					}})
				}
				return out
			})
			l := w.listen(t, t.TempDir(), follow.Checkpoint{}, f.address)
			if err := l.ends(); !errors.Is(err, core.ErrDivergence) {
				t.Errorf("%v", err)
			}
			if tip := l.store.Tip(); tip.Height > 6 {
				t.Errorf("it committed %v", tip)
			}
		})
	}
}

// The chain must contain the checkpoint: at its height, be it reached or already stored.
func TestCheckpoint(t *testing.T) {
	w := newWorld(t, "checkpoint", consensus.TwoChain)
	links := w.grow(w.root(), 30, "a")
	right := follow.Checkpoint{Height: 20, ID: links[19].info.ID}
	wrong := follow.Checkpoint{Height: 20, ID: links[18].info.ID}
	f, dir := w.upstream(t, links[:15]), t.TempDir()

	l := w.listen(t, dir, right, f.address)
	l.reaches(links[14])
	if s := l.follower.Status(); s.Unchecked != 20 {
		t.Errorf("below the checkpoint: %+v", s)
	}
	w.fill(f.store, links[15:])
	l.reaches(links[29])
	if s := l.follower.Status(); s.Unchecked != 0 {
		t.Errorf("above the checkpoint: %+v", s)
	}
	reached := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.Contains(l.notes, follow.Note(follow.CheckpointReached{Checkpoint: right}))
	}
	if !reached() {
		t.Error("it was not noted")
	}
	if err := l.halt(); err != nil {
		t.Fatal(err)
	}

	missed := w.listen(t, t.TempDir(), wrong, f.address)
	var mismatch *follow.CheckpointError
	if err := missed.ends(); !errors.As(err, &mismatch) || mismatch.Found != links[19].info.ID || !errors.Is(err, follow.ErrStopped) {
		t.Errorf("%v", err)
	}
	if tip := missed.store.Tip(); tip.Height >= 20 {
		t.Errorf("it committed %v", tip)
	}

	stored := w.open(dir)
	_, err := follow.New(follow.Config{
		Upstreams: []string{f.address}, Checkpoint: wrong, Verifier: w.verifier, Store: stored, App: counter.Counter{},
	})
	if !errors.As(err, &mismatch) {
		t.Errorf("a store that has the height: %v", err)
	}
}

// The number of upstreams is bounded.
func TestUpstreamsAreBounded(t *testing.T) {
	w := newWorld(t, "bounds", consensus.TwoChain)
	for _, n := range []int{0, 1, follow.MaxUpstreams, follow.MaxUpstreams + 1} {
		var addresses []string
		for i := range n {
			addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", 1000+i))
		}
		f, err := follow.New(follow.Config{Upstreams: addresses, Verifier: w.verifier, Store: w.open(t.TempDir()), App: counter.Counter{}})
		if (err == nil) != (n == 1 || n == follow.MaxUpstreams) {
			t.Errorf("%d upstreams: %v", n, err)
		}
		if err == nil {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
