//go:build e2e

package e2e

import (
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// history is the committed chain, replayed by a ledger of ten lines.
type history struct {
	blocks    []block // by height
	places    map[string]receipt
	balances  map[string]uint64
	sequences map[string]uint64
}

// slowly is how long a member may lag behind the newest commit of another before a test remarks on it.
const slowly = time.Second

// agreed waits until all members have the newest committed height of any of them, reads the whole chain from each, and
// checks that there is one, that it executes every transaction once and in order, and that nothing is lost of acked or of
// what accounts hold.
func (n *testnet) agreed(acked map[string]receipt) *history {
	n.t.Helper()
	var height uint64
	for _, m := range n.members {
		height = max(height, m.status().Height)
	}
	var first []block
	for _, m := range n.members {
		begin := time.Now()
		n.await(fmt.Sprintf("%s is at height %d", m.name, height), func() bool { return m.status().Height >= height })
		if took := time.Since(begin); took > slowly {
			n.t.Logf("%s took %v to get to height %d, which another one had", m.name, took, height)
		}
		blocks := n.walk(m.rest, 0, height)
		if first == nil {
			first = blocks
		}
		for h, b := range blocks {
			if a := first[h]; a.ID != b.ID || a.StateRoot != b.StateRoot || a.HistoryRoot != b.HistoryRoot {
				n.t.Fatalf("height %d: %s has block %s, root %s; %s has block %s, root %s", h, n.members[0].name, a.ID,
					a.StateRoot, m.name, b.ID, b.StateRoot)
			}
		}
	}
	h := n.replay(first)
	h.checkAcked(n, acked)
	h.checkAccounts(n, height)
	return h
}

// walk reads the blocks of these heights, which must be committed.
func (b *bed) walk(base string, from, to uint64) []block {
	b.t.Helper()
	var blocks []block
	for height := from; height <= to; height++ {
		var one block
		b.get(base, fmt.Sprintf("/v1/blocks/%d", height), &one)
		if one.Height != height || (len(blocks) > 0 && one.ParentID != blocks[len(blocks)-1].ID) {
			b.t.Fatalf("%s: block %s of height %d, parent %s, is no link of a chain at %d", base, one.ID, one.Height,
				one.ParentID, height)
		}
		blocks = append(blocks, one)
	}
	return blocks
}

func (n *testnet) replay(blocks []block) *history {
	n.t.Helper()
	h := &history{blocks: blocks, places: map[string]receipt{}, balances: n.genesisBalances(), sequences: map[string]uint64{}}
	supply := h.supply()
	for _, b := range blocks {
		for i, tx := range b.Transactions {
			if at, twice := h.places[tx.ID]; twice {
				n.t.Fatalf("transaction %s is committed at height %d and again at %d", tx.ID, at.Height, b.Height)
			}
			h.places[tx.ID] = receipt{Code: tx.Receipt.Code, Height: b.Height, Index: i, BlockID: b.ID}
			body := tx.Decoded
			if want := h.sequences[body.Sender]; body.Sequence != want {
				n.t.Fatalf("height %d: sequence %d of %s, want %d", b.Height, body.Sequence, body.Sender, want)
			}
			h.sequences[body.Sender]++
			if tx.Receipt.Code != "OK" {
				n.t.Fatalf("height %d: transaction %s: %+v", b.Height, tx.ID, tx.Receipt)
			}
			h.balances[body.Sender] -= body.Fee
			h.balances[proposerAddress(n.bed, b.Proposer)] += body.Fee
			for _, o := range body.Transfer.Outputs {
				h.balances[body.Sender] -= o.Amount
				h.balances[o.To] += o.Amount
			}
		}
	}
	if h.supply() != supply {
		n.t.Fatalf("the accounts hold %d, at genesis they held %d", h.supply(), supply)
	}
	return h
}

func (n *testnet) genesisBalances() map[string]uint64 {
	n.t.Helper()
	var genesis struct {
		App struct {
			Accounts []struct {
				Address string
				Balance uint64
			}
		}
	}
	n.readJSON(filepath.Join(n.members[0].home, "genesis.json"), &genesis)
	balances := map[string]uint64{}
	for _, a := range genesis.App.Accounts {
		balances[a.Address] = a.Balance
	}
	if len(balances) < 2 {
		n.t.Fatalf("%+v", genesis)
	}
	return balances
}

// proposerAddress is the account that a validator's fees go to.
func proposerAddress(b *bed, id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 20 {
		b.t.Fatalf("proposer %q", id)
	}
	return addressText(addressPrefix, raw)
}

func (h *history) supply() (sum uint64) {
	for _, balance := range h.balances {
		sum += balance
	}
	return sum
}

// samples is how many transactions each node is asked for by id.
const samples = 50

// checkAcked wants every transaction that a node said is committed where it said.
func (h *history) checkAcked(n *testnet, acked map[string]receipt) {
	n.t.Helper()
	for id, promised := range acked {
		if h.places[id] != promised {
			n.t.Errorf("transaction %s was acknowledged at %+v, and the chain has it at %+v", id, promised, h.places[id])
		}
	}
	// Each node's index, for some of them.
	ids := slices.Sorted(maps.Keys(acked))
	for _, m := range n.members {
		r := n.random("sample " + m.name)
		for range min(samples, len(ids)) {
			id := ids[r.IntN(len(ids))]
			var tx committed
			n.get(m.rest, "/v1/transactions/"+id, &tx)
			if tx.State != "COMMITTED" || tx.Receipt != acked[id] {
				n.t.Errorf("%s: transaction %s: %s, %+v, acknowledged at %+v", m.name, id, tx.State, tx.Receipt, acked[id])
			}
		}
	}
}

// checkAccounts wants the balances and sequences of the replay from every node.
func (h *history) checkAccounts(n *testnet, height uint64) {
	n.t.Helper()
	for _, m := range n.members {
		for address, balance := range h.balances {
			var a account
			n.get(m.rest, fmt.Sprintf("/v1/accounts/%s?minHeight=%d", address, height), &a)
			if a.Balance != balance || a.Sequence != h.sequences[address] {
				n.t.Errorf("%s: account %+v; by the blocks it holds %d, next sequence %d", m.name, a, balance,
					h.sequences[address])
			}
		}
	}
}
