package storage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// worldApp executes the blocks of a world.
type worldApp struct {
	app.App
	wrong consensus.Height // executes otherwise than the chain did
}

func (a worldApp) Execute(_ app.State, b app.Block) (app.Result, error) {
	var txs []string
	for _, tx := range b.Transactions {
		txs = append(txs, string(tx))
	}
	if b.Height == a.wrong {
		txs = append(txs, "more")
	}
	changes, receipts := outcomeOf(txs)
	return app.Result{Changes: changes, Receipts: receipts}, nil
}

func (w *world) replay() storage.Replay {
	return storage.Replay{Genesis: w.genesis, App: worldApp{}, Verifier: w.verifier}
}

// uneven is a chain of n links in which rounds are skipped, so that some blocks are committed by a later one's proof.
func (w *world) uneven(n int) []*link {
	links, round := []*link{w.root()}, consensus.Round(0)
	for i := range n {
		round++
		if i%4 == 3 {
			round++
		}
		links = append(links, w.child(links[i], round, fmt.Sprintf("a%d", i), fmt.Sprintf("-tx a%d", i-2)))
	}
	return links
}

// commitUneven commits every link that a later certificate commits, under that, and saves the rest.
func (w *world) commitUneven(s *storage.Store, links []*link) {
	w.t.Helper()
	for at, l := range links[1:] {
		if err := s.Save([]*consensus.Block{l.block}, l.qc, nil); err != nil {
			w.t.Fatal(err)
		}
		target := l.qc.Commit().Height
		for h := s.Tip().Height + 1; h <= target; h++ {
			c := links[h].commit(links[h])
			if c.Proof = l.qc; int(h) != at {
				c.QC = links[h].qc
			}
			if err := s.Commit(c); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// What is made again of a whole database is that database, key by key.
func TestReplayOfAWholeDatabase(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := w.uneven(30)
	w.commitUneven(s, links)
	if _, err := s.SaveEvidence(w.accuse(1, 3), 77); err != nil {
		t.Fatal(err)
	}
	if s.Tip().Height < 25 || s.Tip().Height > 29 {
		t.Fatalf("tip %v", s.Tip())
	}
	again := storagetest.NewMemory(nil)
	heights := 0
	p := w.replay()
	p.Progress = func(consensus.BlockInfo) { heights++ }
	made, done, err := p.Run(kv, again)
	if err != nil || done.Stopped != nil || made.Tip() != s.Tip() || done.Evidence != 1 || heights != int(s.Tip().Height) ||
		done.Uncommitted != len(links)-1-int(s.Tip().Height) {
		t.Fatalf("%+v, %v, %d heights", done, err, heights)
	}
	if first, err := storage.Difference(kv, again); first != "" || err != nil {
		t.Fatalf("differs at %s, %v", first, err)
	}
}

// TestReplayOfDamagedValues damages, removes and swaps each value of a database: what is made of the rest is a prefix of the
// chain with exactly its state.
func TestReplayOfDamagedValues(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	links := w.uneven(9)
	w.commitUneven(s, links)
	whole := dump(t, kv)
	tips := map[consensus.Height]int{}
	for key, value := range whole {
		for i, bad := range [][]byte{nil, {}, append([]byte{value0(value) ^ 1}, value[min(1, len(value)):]...), append(append([]byte(nil), value...), 0)} {
			damaged := dump(t, kv)
			if bad == nil {
				delete(damaged, key)
			} else {
				damaged[key] = bad
			}
			made, done, err := w.replay().Run(load(t, damaged), storagetest.NewMemory(nil))
			if err != nil {
				if key != "mgenesis" || !errors.Is(err, storage.ErrWrongChain) {
					t.Fatalf("damage %d of %q: %v", i, key, err)
				}
				continue
			}
			r, err := made.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			checkReading(t, r, links)
			r.Release()
			if done.Tip.Height < s.Tip().Height && done.Stopped == nil {
				t.Fatalf("damage %d of %q: ends at %v without a reason", i, key, done.Tip)
			}
			tips[done.Tip.Height]++
		}
	}
	if len(tips) < int(s.Tip().Height) || tips[s.Tip().Height] < len(whole) {
		t.Fatalf("the damage did not do its work: %v", tips)
	}
}

func value0(v []byte) byte {
	if len(v) == 0 {
		return 0
	}
	return v[0]
}

// A block that another quorum member's signature was cut from, or that executes otherwise here, is never taken.
func TestReplayRefuses(t *testing.T) {
	w := newWorld(t)
	s, kv := w.openMemory()
	w.commitAll(s, w.chain(6))
	p := w.replay()
	p.App = worldApp{wrong: 4}
	_, done, err := p.Run(kv, storagetest.NewMemory(nil))
	if diverged := (*storage.DivergedError)(nil); !errors.As(err, &diverged) || diverged.Executed.Height != 4 || diverged.Certified.Height != 4 {
		t.Fatalf("%+v, %v", done, err)
	}
	foreign := *w.genesis.Chain
	foreign.ChainID = "other"
	p = w.replay()
	p.Genesis.Chain = &foreign
	if _, _, err := p.Run(kv, storagetest.NewMemory(nil)); !errors.Is(err, storage.ErrWrongChain) {
		t.Fatalf("another chain: %v", err)
	}
	fewer := newWorld(t)
	fewer.identities[0], fewer.identities[3] = fewer.identities[3], fewer.identities[0]
	forged := fewer.chain(3)
	forged[2].qc.Signatures = forged[2].qc.Signatures[:2]
	forger, forgedKV := fewer.openMemory()
	fewer.commitAll(forger, forged)
	_, done, err = w.replay().Run(forgedKV, storagetest.NewMemory(nil))
	if err != nil || done.Tip.Height != 0 || done.Stopped == nil {
		t.Fatalf("a certificate without a quorum: %+v, %v", done, err)
	}
}

// TestSalvage removes and damages files of a LevelDB, and replays what is left: always a prefix of the chain.
func TestSalvage(t *testing.T) {
	w := newWorld(t)
	links := []*link{w.root()}
	filler := strings.Repeat("0123456789abcdef", 64)
	for i := range 40 {
		links = append(links, w.child(links[i], consensus.Round(i+1), fmt.Sprint(i, filler), fmt.Sprint("c", i)))
	}
	dir := t.TempDir()
	for _, part := range [][]*link{links[:25], links} { // a table, then a journal
		s := w.open(openLevelDB(t, dir))
		w.commitAll(s, part)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(path string, content []byte) error
		files string
		least consensus.Height
		most  consensus.Height
	}{
		{"CURRENT missing", remove, "CURRENT", 39, 39},
		{"MANIFEST missing", remove, "MANIFEST-*", 39, 39},
		{"MANIFEST damaged", flip, "MANIFEST-*", 39, 39},
		{"journal missing", remove, "*.log", 23, 39},
		{"journal cut", cut, "*.log", 23, 38},
		{"tables damaged", flip, "*.ldb", 0, 39},
		{"tables missing", remove, "*.ldb", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			damaged := filepath.Join(t.TempDir(), "copy")
			if err := storage.CopyFolder(damaged, dir); err != nil {
				t.Fatal(err)
			}
			for _, path := range glob(t, filepath.Join(damaged, c.files)) {
				content, err := os.ReadFile(path)
				if err == nil {
					err = c.spoil(path, content)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			kv, err := storage.SalvageLevelDB(damaged)
			if err != nil {
				t.Fatal(err)
			}
			defer kv.Close()
			into := openLevelDB(t, filepath.Join(t.TempDir(), "made"))
			made, done, err := w.replay().Run(kv, into)
			if err != nil {
				t.Fatal(err)
			}
			r, err := made.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Release()
			t.Logf("up to %v: %v", done.Tip, done.Stopped)
			checkReading(t, r, links)
			if done.Tip.Height < c.least || done.Tip.Height > c.most {
				t.Errorf("up to %v, want %d to %d", done.Tip, c.least, c.most)
			}
		})
	}
}

func remove(path string, _ []byte) error { return os.Remove(path) }

func flip(path string, content []byte) error {
	content[len(content)/2] ^= 4
	return os.WriteFile(path, content, 0o600)
}

func cut(path string, content []byte) error {
	return os.WriteFile(path, content[:len(content)*2/3], 0o600)
}

// TestLost: the safety record is a witness of what was durable in the block store.
func TestLost(t *testing.T) {
	w := newWorld(t)
	links := w.chain(6)
	vote := &consensus.Vote{Data: links[5].qc.Data}
	tc := w.tc(6, links[5].qc)
	for name, c := range map[string]struct {
		signed safety.State
		says   string // of a store with the first four; none with all
	}{
		"nothing signed": {safety.Initial(1), ""},
		"vote":           {safety.State{Epoch: 1, LastVoted: 5, LastVote: vote}, "last vote, of height 5"},
		"proposal":       {safety.State{Epoch: 1, LastProposed: 5, LastProposal: links[5].info.ID}, ""}, // stored with the vote for it
		"timeout":        {safety.State{Epoch: 1, LastVoted: 6, LastTimeout: &consensus.Timeout{Round: 6, QC: links[5].qc}}, "certificate of round 5"},
		"timeout by TC":  {safety.State{Epoch: 1, LastVoted: 7, LastTimeout: &consensus.Timeout{Round: 7, QC: links[2].qc, TC: tc}}, "timeout certificate of round 6"},
		"old vote":       {safety.State{Epoch: 1, LastVoted: 1, LastVote: &consensus.Vote{Data: links[1].qc.Data}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := w.openMemory()
			w.commitAll(s, links[:5])
			if got := s.Lost(c.signed); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("the store that lost it: %q, want %q", got, c.says)
			}
			w.commitAll(s, links)
			if err := s.Save(nil, nil, tc); err != nil {
				t.Fatal(err)
			}
			if got := s.Lost(c.signed); got != "" {
				t.Errorf("the store that has it: %q", got)
			}
		})
	}
}

// TestDeadBranchIsNotLost: what was signed on a branch that was decided against, in a round above the tip, is not called lost
// after however many restarts: a validator may vote there before it learns of the commit. It goes with the commit that passes
// its round, or when something newer was signed.
func TestDeadBranchIsNotLost(t *testing.T) {
	w := newWorld(t)
	links := w.chain(9)
	dead := w.child(links[1], 5, "voted for, and then round 4 was committed")
	own := w.child(links[1], 6, "proposed")
	other := w.child(links[1], 7, "neither")
	signed := safety.State{
		Epoch: 1, LastVoted: 5, LastVote: &consensus.Vote{Data: dead.qc.Data}, LastProposed: 6, LastProposal: own.info.ID,
	}
	s, kv := w.openMemory()
	for _, b := range []*link{dead, own, other} {
		save(t, s, b.block)
	}
	w.commitAll(s, links[:6]) // up to height 4
	stored := bodies(t, kv)
	for restart := range 3 {
		again := w.open(kv)
		if got := again.Lost(signed); got != "" {
			t.Fatalf("restart %d: lost %s", restart, got)
		}
		rec, err := again.Recover(signed.LastVote.Data.Block.ID, signed.LastProposal)
		if err != nil || len(rec.Uncommitted) != 1 || rec.Uncommitted[0].ID() != links[5].info.ID {
			t.Fatalf("recovered %v, %v", rec.Uncommitted, err)
		}
		if left := bodies(t, kv); left != stored-1 {
			t.Fatalf("%d blocks are stored, want %d: what was not signed goes", left, stored-1)
		}
	}
	s = w.open(kv)
	w.commitAll(s, links[:9])
	if left := bodies(t, kv); left != stored-3+3 {
		t.Errorf("%d blocks are stored after commits of later rounds", left)
	}
	if got := s.Lost(signed); got != "" {
		t.Errorf("lost %s", got)
	}
}
