package storage_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// world makes a chain with real signatures of four validators.
type world struct {
	t          testing.TB
	genesis    storage.Genesis
	identities []consensus.Identity
	verifier   *consensus.Verifier
}

// link is a block with what it leads to.
type link struct {
	block    *consensus.Block // nil: genesis
	info     consensus.BlockInfo
	history  consensus.History
	changes  []app.Change
	receipts []app.Receipt
	qc       *consensus.QC // certifies it
}

func newWorld(t testing.TB) *world {
	w := &world{t: t}
	var members []consensus.Validator
	var keys []signature.PrivateKey
	for i := range 4 {
		key := signature.NewPrivateKey([signature.SeedSize]byte{byte(i + 1)})
		keys = append(keys, key)
		members = append(members, consensus.Validator{
			ID: consensus.IDOf(key.Public()), Name: fmt.Sprintf("v%d", i), Key: key.Public(), Power: 1,
		})
	}
	set, err := consensus.NewValidatorSet(members)
	if err != nil {
		t.Fatal(err)
	}
	w.genesis = storage.Genesis{
		Chain: &consensus.Genesis{
			ChainID: "test", Rule: consensus.TwoChain, ContiguousRounds: 2, Election: consensus.RoundRobin, Timestamp: 1_000, Validators: set,
		},
		Changes: []app.Change{{Key: []byte("kept"), Value: []byte("from genesis")}, {Key: []byte("newest"), Value: []byte{}}},
	}
	dom := w.genesis.Chain.Domain()
	for i, key := range keys {
		w.identities = append(w.identities, consensus.Identity{ID: members[i].ID, Domain: dom, Signer: key})
	}
	w.verifier = &consensus.Verifier{Domain: dom, Set: set, Genesis: w.root().info, Scheme: signature.NewEd25519()}
	return w
}

func (w *world) root() *link {
	info, history := w.genesis.Block()
	return &link{info: info, history: history, changes: w.genesis.Changes, qc: consensus.GenesisQC(info)}
}

// child makes a certified block on parent. Each transaction sets a key of its own and the key "newest"; "-x" deletes x.
func (w *world) child(parent *link, round consensus.Round, txs ...string) *link {
	w.t.Helper()
	var payload [][]byte
	l := &link{}
	for _, tx := range txs {
		payload = append(payload, []byte(tx))
	}
	l.changes, l.receipts = outcomeOf(txs)
	p := parent.info
	l.block = consensus.NewBlock(consensus.Header{
		Epoch: p.Epoch, Round: round, Height: p.Height + 1, Parent: p.ID, ParentRound: p.Round, ParentStateRoot: p.StateRoot,
		Timestamp: p.Timestamp + 1, Proposer: w.identities[int(round)%4].ID,
	}, parent.qc, payload)
	l.info = consensus.BlockInfo{
		Epoch: p.Epoch, Round: round, ID: l.block.ID(), Height: p.Height + 1, Timestamp: p.Timestamp + 1,
		StateRoot: storage.StateRoot(p.StateRoot, l.changes), ReceiptsRoot: app.ReceiptsRoot(l.receipts),
	}
	l.history = parent.history.Append(l.info.Leaf())
	l.info.HistoryRoot = l.history.Root()
	data := consensus.VoteData{Block: l.info, Parent: p}
	if round == p.Round+1 {
		data.Commit = p
	}
	var votes []consensus.Verified[*consensus.Vote]
	for _, identity := range w.identities[:3] {
		votes = append(votes, identity.Vote(&consensus.Vote{Data: data}))
	}
	qc, ok := w.verifier.Set.AssembleQC(votes)
	if !ok {
		w.t.Fatal("three of four votes are no quorum")
	}
	l.qc = qc.Get()
	return l
}

// outcomeOf is what transactions do: the application of these tests.
func outcomeOf(txs []string) (changes []app.Change, receipts []app.Receipt) {
	values := map[string][]byte{}
	for _, tx := range txs {
		id := sha256.Sum256([]byte(tx))
		receipts = append(receipts, app.Receipt{ID: id, Fee: uint64(len(tx)), Message: "did " + tx[:min(len(tx), 20)]})
		if tx[0] == '-' {
			values[tx[1:]] = nil
		} else {
			values["tx "+tx] = []byte(tx)
			values["newest"] = []byte(tx)
		}
	}
	for key, value := range values {
		changes = append(changes, app.Change{Key: []byte(key), Value: value})
	}
	slices.SortFunc(changes, func(a, b app.Change) int { return slices.Compare(a.Key, b.Key) })
	return changes, receipts
}

// chain makes n links on genesis, of rounds from 1 on, each with three transactions; [0] is genesis.
func (w *world) chain(n int) []*link {
	links := []*link{w.root()}
	for i := range n {
		txs := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("-tx a%d", i-2)}
		links = append(links, w.child(links[i], consensus.Round(i+1), txs...))
	}
	return links
}

// tc makes a timeout certificate of a round.
func (w *world) tc(round consensus.Round, highQC *consensus.QC) *consensus.TC {
	w.t.Helper()
	var timeouts []consensus.Verified[*consensus.Timeout]
	for _, identity := range w.identities[:3] {
		timeouts = append(timeouts, identity.Timeout(&consensus.Timeout{Round: round, QC: highQC}))
	}
	tc, ok := w.verifier.Set.AssembleTC(consensus.FirstEpoch, timeouts)
	if !ok {
		w.t.Fatal("three of four timeouts are no quorum")
	}
	return tc.Get()
}

// commit of l under the QC of its child.
func (l *link) commit(child *link) storage.Commit {
	return storage.Commit{
		Block: l.block, Info: l.info, QC: l.qc, Proof: child.qc, History: l.history, Changes: l.changes, Receipts: l.receipts,
	}
}

// state of the chain links[0…height], by a naive replay.
func state(links []*link, height int) map[string]string {
	out := map[string]string{}
	for _, l := range links[:height+1] {
		for _, c := range l.changes {
			if c.Value == nil {
				delete(out, string(c.Key))
			} else {
				out[string(c.Key)] = string(c.Value)
			}
		}
	}
	return out
}

// keysOf returns every key that the chain touches.
func keysOf(links []*link) map[string]bool {
	out := map[string]bool{}
	for _, l := range links {
		for _, c := range l.changes {
			out[string(c.Key)] = true
		}
	}
	return out
}

// checkReading compares everything that r holds with the first r.Height() links.
func checkReading(t testing.TB, r *storage.Reading, links []*link) {
	t.Helper()
	tip := int(r.Height())
	if r.Info != links[tip].info {
		t.Fatalf("reading of %v, want %v", r.Info, links[tip].info)
	}
	want := state(links, tip)
	for key := range keysOf(links) {
		value, err := r.Get([]byte(key))
		wanted, ok := want[key]
		if err != nil || ok != (value != nil) || string(value) != wanted {
			t.Fatalf("height %d: state %q is %q (there: %v, %v), want %q (there: %v)", tip, key, value, value != nil, err, wanted, ok)
		}
	}
	for h, l := range links {
		record, err := r.Block(consensus.Height(h))
		if h > tip {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Fatalf("block at height %d above the tip %d: %v", h, tip, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("block %d: %v", h, err)
		}
		checkRecord(t, record, links[h])
		for i, receipt := range l.receipts {
			tx, err := r.Transaction(receipt.ID)
			if err != nil || tx.Height != l.info.Height || int(tx.Index) != i || tx.Info != l.info ||
				!reflect.DeepEqual(tx.Receipt, receipt) || string(tx.Tx) != string(l.block.Payload[i]) {
				t.Fatalf("transaction %d of height %d: %+v, %v", i, h, tx, err)
			}
		}
	}
}

func checkRecord(t testing.TB, got storage.Record, want *link) {
	t.Helper()
	byID := []consensus.Hash{}
	for _, receipt := range want.receipts {
		byID = append(byID, receipt.ID)
	}
	switch {
	case got.Info != want.info, !got.QC.Same(want.qc) && !got.QC.Same(got.Proof), !slices.Equal(got.TransactionIDs(), byID):
		t.Fatalf("record of %v is %+v", want.info, got)
	case len(got.Receipts)+len(want.receipts) > 0 && !reflect.DeepEqual(got.Receipts, want.receipts):
		t.Fatalf("receipts of %v: %+v", want.info, got.Receipts)
	case want.block == nil && got.Block != nil, want.block != nil && !slices.Equal(got.Block.Encode(), want.block.Encode()):
		t.Fatalf("block of %v is %v", want.info, got.Block)
	case want.block != nil && got.Proof.Commit().Height < want.info.Height:
		t.Fatalf("proof of %v is %v", want.info, got.Proof)
	}
}

func (w *world) open(kv storage.KV) *storage.Store {
	w.t.Helper()
	s, err := storage.Open(kv, w.genesis)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// openMemory returns a Store on a new Memory.
func (w *world) openMemory() (*storage.Store, *storagetest.Memory) {
	w.t.Helper()
	kv := storagetest.NewMemory(nil)
	return w.open(kv), kv
}

// commitAll saves and commits links[1…len-2], the last link being only certified and saved.
func (w *world) commitAll(s *storage.Store, links []*link) {
	w.t.Helper()
	for i, l := range links[1:] {
		if err := s.Save([]*consensus.Block{l.block}, l.qc, nil); err != nil {
			w.t.Fatal(err)
		}
		if i > 0 {
			if err := s.Commit(links[i].commit(l)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
