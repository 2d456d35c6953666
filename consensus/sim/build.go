package sim

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
	"github.com/cairnchain/cairn/storage/storagetest"
)

// keyring makes the keys of a run: real ones, or fast ones for volume.
type keyring struct {
	real   bool
	scheme signature.Scheme
}

func newKeyring(real bool) *keyring {
	if real {
		return &keyring{real: true, scheme: signature.NewEd25519()}
	}
	return &keyring{scheme: consensustest.FastScheme{}}
}

func (k *keyring) signer(kind byte, i int) consensus.Signer {
	if k.real {
		return signature.NewPrivateKey([signature.SeedSize]byte{0: kind, 1: byte(i), 31: 1})
	}
	return consensustest.NewFastSigner(fmt.Sprint(kind, " ", i))
}

const firstBalance = 1_000_000

// build makes genesis and starts everybody.
func (w *world) build(k knobs) {
	w.knobs = k
	w.keys = newKeyring(w.knobs.ed25519)
	w.trace.line(0, -1, "knobs", fmt.Sprintf("%+v", w.knobs))
	w.clients = newClients(w)
	signers := make([]consensus.Signer, len(w.knobs.powers))
	for i := range signers {
		signers[i] = w.keys.signer('v', i)
	}
	slices.SortFunc(signers, func(a, b consensus.Signer) int {
		x, y := consensus.IDOf(a.Public()), consensus.IDOf(b.Public())
		return bytes.Compare(x[:], y[:])
	})
	members := make([]consensus.Validator, len(signers))
	for i, s := range signers {
		members[i] = consensus.Validator{
			ID: consensus.IDOf(s.Public()), Name: fmt.Sprint("v", i), Key: s.Public(), Power: w.knobs.powers[i],
		}
	}
	w.makeGenesis(members)
	w.net = newNetwork(w, len(members)+len(k.twins)+len(k.clones))
	for i, s := range signers {
		w.add(i, s)
	}
	for _, i := range k.twins {
		w.validators[i].faulty = true
		twin := w.add(i, signers[i])
		twin.faulty, twin.skew = true, twinAhead
	}
	w.corrupt(signers)
	for _, i := range k.clones {
		w.add(i, signers[i]).copied = true
	}
	for _, v := range w.validators {
		w.must(v.create())
	}
	for _, v := range w.validators {
		if !v.copied {
			v.start()
		}
	}
	w.clients.begin()
}

// twinAhead is by how much the clock of a validator's second node is ahead, so that its blocks are others than the
// first one's, which it leads the same rounds with.
const twinAhead = 8 * time.Millisecond

// add makes the next validator: member i of the set, or its twin.
func (w *world) add(member int, signer consensus.Signer) *validator {
	v := &validator{
		w: w, i: len(w.validators), member: member, id: w.genesis.Validators.At(member).ID, signer: signer,
		skew: w.between(-w.knobs.skew, w.knobs.skew),
	}
	v.kv, v.disk = storagetest.NewMemory(v.reached), storagetest.NewDisk(v.reached)
	w.validators = append(w.validators, v)
	return v
}

// election is the chain's, or what a script makes of it.
func (w *world) election() core.Election {
	e := core.ElectionOf(w.genesis)
	if w.twins != nil {
		return w.twins.leader(w.genesis.Validators, e)
	}
	return e
}

func (w *world) makeGenesis(members []consensus.Validator) {
	set, err := consensus.NewValidatorSet(members)
	w.must(err)
	w.document = w.clients.document()
	w.genesis = &consensus.Genesis{
		ChainID: chainID, Rule: w.cfg.Rule, ContiguousRounds: w.knobs.contiguous, Election: w.knobs.election,
		Timestamp: consensus.Timestamp(startOfTime.UnixMilli()), Validators: set, AppDocument: w.document,
	}
	w.must(w.genesis.Validate())
	app, err := ledger.New(chainID, w.document, w.keys.scheme)
	w.must(err)
	first, err := app.Genesis(w.document)
	w.must(err)
	w.store = storage.Genesis{Chain: w.genesis, Changes: first.Changes}
}

const chainID = "sim"

func (w *world) genesisInfo() consensus.BlockInfo {
	info, _ := w.store.Block()
	return info
}

// must is for what cannot fail before the first fault.
func (w *world) must(err error) {
	if err != nil {
		w.fail("setup", "%v", err)
	}
}
