package follow_test

import (
	"fmt"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/storage"
)

// world makes chains of app/counter with real signatures of four validators, who sign whatever a test wants.
type world struct {
	t          testing.TB
	genesis    storage.Genesis
	identities []consensus.Identity
	verifier   *consensus.Verifier
	timing     follow.Timing         // of listeners
	self       consensus.ValidatorID // of listeners
}

// link is a block with what it leads to.
type link struct {
	parent    *link
	block     *consensus.Block // nil: genesis
	info      consensus.BlockInfo
	history   consensus.History
	state     map[string][]byte
	result    app.Result
	qc, proof *consensus.QC
}

func newWorld(t testing.TB, chainID string, rule consensus.CommitRule) *world {
	w := &world{t: t, timing: quick()}
	var members []consensus.Validator
	var keys []signature.PrivateKey
	for i := range 4 {
		key := signature.NewPrivateKey([signature.SeedSize]byte{byte(i + 1)})
		keys = append(keys, key)
		members = append(members, consensus.Validator{ID: consensus.IDOf(key.Public()), Name: fmt.Sprintf("v%d", i), Key: key.Public(), Power: 1})
	}
	set, err := consensus.NewValidatorSet(members)
	if err != nil {
		t.Fatal(err)
	}
	w.genesis = storage.Genesis{Chain: &consensus.Genesis{
		ChainID: chainID, Rule: rule, ContiguousRounds: rule.ContiguousRounds(), Election: consensus.RoundRobin, Timestamp: 1_000,
		Validators: set, AppDocument: []byte("{}"),
	}}
	domain := w.genesis.Chain.Domain()
	for i, key := range keys {
		w.identities = append(w.identities, consensus.Identity{ID: members[i].ID, Domain: domain, Signer: key})
	}
	info, _ := w.genesis.Block()
	w.verifier = &consensus.Verifier{Domain: domain, Set: set, Genesis: info, Scheme: signature.NewEd25519()}
	return w
}

func (w *world) root() *link {
	info, history := w.genesis.Block()
	return &link{info: info, history: history, state: map[string][]byte{}, qc: consensus.GenesisQC(info)}
}

type mapState map[string][]byte

func (m mapState) Get(key []byte) ([]byte, error) { return m[string(key)], nil }

// child makes a certified block in the round that is so many rounds after its parent's. Change may be nil; it alters what
// the validators sign of the outcome.
func (w *world) child(parent *link, rounds consensus.Round, change func(*consensus.BlockInfo), txs ...app.Tx) *link {
	w.t.Helper()
	l := &link{parent: parent, state: map[string][]byte{}}
	payload := make([][]byte, len(txs))
	for i, tx := range txs {
		payload[i] = tx
	}
	l.block = consensus.NewBlock(consensus.Header{
		Epoch: consensus.FirstEpoch, Round: parent.info.Round + rounds, Height: parent.info.Height + 1, Parent: parent.info.ID,
		ParentRound: parent.info.Round, ParentStateRoot: parent.info.StateRoot, Timestamp: parent.info.Timestamp + 1,
		Proposer: w.identities[0].ID,
	}, parent.qc, payload)
	result, err := counter.Counter{}.Execute(mapState(parent.state), app.Block{
		Header: app.Header{Height: l.block.Height, Timestamp: l.block.Timestamp, Proposer: l.block.Proposer}, Transactions: txs,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	l.result = result
	for key, value := range parent.state {
		l.state[key] = value
	}
	for _, c := range result.Changes {
		l.state[string(c.Key)] = c.Value
	}
	b := l.block
	l.info = consensus.BlockInfo{
		Epoch: b.Epoch, Round: b.Round, ID: b.ID(), Height: b.Height, Timestamp: b.Timestamp,
		StateRoot: storage.StateRoot(parent.info.StateRoot, result.Changes), ReceiptsRoot: app.ReceiptsRoot(result.Receipts),
	}
	l.history = parent.history.Append(l.info.Leaf())
	l.info.HistoryRoot = l.history.Root()
	if change != nil {
		change(&l.info)
	}
	data := consensus.VoteData{Block: l.info, Parent: parent.info}
	consecutive := b.Round == parent.info.Round+1
	switch {
	case w.genesis.Chain.Rule == consensus.TwoChain && consecutive:
		data.Commit = parent.info
	case w.genesis.Chain.Rule == consensus.ThreeChain && consecutive && parent.parent != nil &&
		parent.info.Round == parent.parent.info.Round+1:
		data.Commit = parent.parent.info
	}
	l.qc = w.certify(data)
	return l
}

// certify signs by three of the four, in turn.
func (w *world) certify(data consensus.VoteData) *consensus.QC {
	var parts []consensus.SignedBy
	for i := range 3 {
		who := w.identities[(i+int(data.Block.Height))%4]
		parts = append(parts, consensus.SignedBy{Signer: who.ID, Signature: who.Vote(&consensus.Vote{Data: data}).Get().Signature})
	}
	return consensus.NewQC(data, parts)
}

// grow makes n blocks on parent, each of which counts name, and one or two more that prove the last; only the n are
// returned.
func (w *world) grow(parent *link, n int, name string) []*link {
	w.t.Helper()
	var all []*link
	at := parent
	for i := range n + 2 {
		at = w.child(at, 1, nil, counter.Tx(name, uint64(i)))
		all = append(all, at)
	}
	w.prove(all)
	return all[:n]
}

// prove gives each link the lowest certificate among those behind it that commits it.
func (w *world) prove(all []*link) {
	for i, l := range all {
		for _, later := range all[i+1:] {
			if commit := later.qc.Commit(); !commit.IsNone() && commit.Height >= l.info.Height {
				l.proof = later.qc
				break
			}
		}
	}
}

func (l *link) canonical() follow.Canonical {
	return follow.Canonical{Block: l.block.Encode(), Certificate: l.qc.Encode(), Proof: l.proof.Encode()}
}

func canonicals(links []*link) (out []follow.Canonical) {
	for _, l := range links {
		out = append(out, l.canonical())
	}
	return out
}

// open makes an empty store of the chain in a folder, or opens the one that is there.
func (w *world) open(dir string) *storage.Store {
	w.t.Helper()
	kv, err := storage.OpenLevelDB(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := storage.Open(kv, w.genesis)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// fill commits links to a store.
func (w *world) fill(s *storage.Store, links []*link) {
	w.t.Helper()
	for _, l := range links {
		if err := s.Commit(storage.Commit{
			Block: l.block, Info: l.info, QC: l.qc, Proof: l.proof, History: l.history, Changes: l.result.Changes, Receipts: l.result.Receipts,
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}
