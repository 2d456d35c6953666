//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus/signature"
)

const (
	// maximalPayers have an account each, and maximalWindow transactions pending at once: together more than a full block.
	maximalPayers = 80
	maximalWindow = 16
	// maximalReceivers is how many accounts are paid.
	maximalReceivers = 50_000
	// payersFunds is what each gets to spend, in base units.
	payersFunds = 10_000_000
	// mostExpired is how many rounds of 1,000 may end by a timeout, beyond one for each node: what a host that others use
	// may cost.
	mostExpired = 5
)

// payers send transfers of the largest size that the ledger takes: as many outputs and as long a memo as there may be.
type payers struct {
	net       *testnet
	ctx       context.Context
	end       context.CancelFunc
	group     sync.WaitGroup
	wallets   []*wallet
	sequences []uint64 // that are committed, once group is done
	receivers []string
	done      atomic.Int64 // transactions
	bytes     atomic.Int64 // in them
}

// newPayers gives new wallets funds of alice's, whose first transfer it is.
func (n *testnet) newPayers() *payers {
	n.t.Helper()
	p := &payers{net: n, sequences: make([]uint64, maximalPayers)}
	p.ctx, p.end = context.WithCancel(context.Background())
	n.t.Cleanup(func() { p.end(); p.group.Wait() })
	r := n.random("payers")
	for range maximalPayers {
		p.wallets = append(p.wallets, randomWallet(r))
	}
	for range maximalReceivers {
		var to ledger.Address
		for i := range to {
			to[i] = byte(r.Uint32())
		}
		p.receivers = append(p.receivers, to.Text(addressPrefix))
	}
	l := &load{bed: n.bed, chainID: n.chainID, urls: n.urls(), ctx: p.ctx, acked: map[string]receipt{}}
	for first := 0; first < maximalPayers; first += ledger.MaxOutputs {
		var funds []output
		for _, w := range p.wallets[first:min(first+ledger.MaxOutputs, maximalPayers)] {
			funds = append(funds, output{w.address, payersFunds})
		}
		if !l.commit(r, n.alice.transfer(n.chainID, uint64(first/ledger.MaxOutputs), 1, funds...)) {
			n.t.Fatal("the payers got no funds")
		}
	}
	return p
}

// begin has each pay until end.
func (p *payers) begin() {
	for i := range p.wallets {
		r := p.net.random(fmt.Sprint("payer ", i))
		p.group.Go(func() {
			if err := p.pay(i, r); err != nil {
				p.net.t.Errorf("payer %d: %v", i, err)
			}
		})
	}
}

// pay submits windows of transactions, and waits for the last of each to be committed.
func (p *payers) pay(i int, r *rand.Rand) error {
	c, err := client.Dial(p.net.members[i%len(p.net.members)].rpc)
	if err != nil {
		return err
	}
	defer c.Close()
	from := client.NewWallet(signature.NewPrivateKey([signature.SeedSize]byte(p.wallets[i].key.Seed())), addressPrefix)
	for p.ctx.Err() == nil {
		var all []*client.Signed
		size := 0
		for n := range uint64(maximalWindow) {
			t := client.Transfer{
				ChainID: p.net.chainID, Sequence: p.sequences[i] + n, Fee: 1, Memo: strings.Repeat("m", ledger.MaxMemoBytes),
			}
			for range ledger.MaxOutputs {
				t.Outputs = append(t.Outputs, client.Output{To: p.receivers[r.IntN(len(p.receivers))], Amount: 1})
			}
			tx, err := from.Sign(t)
			if err != nil {
				return err
			}
			all = append(all, tx)
			size += len(tx.Transaction.GetBody())
		}
		if err := p.commit(c, all); err != nil {
			return err
		}
		p.sequences[i] += maximalWindow
		p.done.Add(maximalWindow)
		p.bytes.Add(int64(size))
	}
	return nil
}

// commit submits until the last is committed; what is under way is finished after the end too.
func (p *payers) commit(c *client.Client, all []*client.Signed) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, err := c.SubmitAll(ctx, all); err != nil {
			return err
		}
		out, err := c.Submit(ctx, all[len(all)-1], time.Second)
		if refusal := (*client.Error)(nil); errors.As(err, &refusal) && passing[refusal.Reason.String()] {
			pause(ctx, retryPause)
			continue
		}
		if err != nil {
			return err
		}
		if out.GetState() == cairnv1.TransactionState_COMMITTED {
			return nil
		}
	}
}

// sameRoots waits until all nodes have the newest committed height of any, and compares what they have there.
func (n *testnet) sameRoots() uint64 {
	n.t.Helper()
	var height uint64
	for _, m := range n.members {
		height = max(height, m.status().Height)
	}
	var first block
	for i, m := range n.members {
		n.await(fmt.Sprintf("%s is at height %d", m.name, height), func() bool { return m.status().Height >= height })
		var b block
		n.get(m.rest, fmt.Sprintf("/v1/blocks/%d", height), &b)
		if i == 0 {
			first = b
		}
		if b.Height != height || b.ID != first.ID || b.StateRoot != first.StateRoot || b.HistoryRoot != first.HistoryRoot {
			n.t.Errorf("height %d: %s has %s, root %s; %s has %s, root %s", height, n.members[0].name, first.ID, first.StateRoot, m.name, b.ID, b.StateRoot)
		}
	}
	return height
}

// R07: transfers of the largest size, to as many accounts as they may name, as fast as they are committed: rounds end by
// QCs but for a stated number, everything is committed, and all nodes have equal roots.
func TestMaximalTransactions(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	p := n.newPayers()
	qc, tc := n.endings()
	height := n.members[0].status().Height
	length := time.Duration(count(6, 600)) * time.Second
	begin, most := time.Now(), 0.0
	p.begin()
	for time.Since(begin) < length {
		pause(t.Context(), time.Second)
		most = max(most, n.memory())
	}
	p.end()
	p.group.Wait()
	lasted := time.Since(begin)
	qcAfter, tcAfter := n.endings()
	blocks := n.sameRoots() - height

	done, size := p.done.Load(), float64(p.bytes.Load())/(1<<20)
	t.Logf("%d transfers of %.0f bytes to %d accounts in %v: %.0f/s, %.1f MiB/s, %.0f in a block; at most %.0f MiB of memory",
		done, size*(1<<20)/float64(done), ledger.MaxOutputs, lasted.Round(time.Millisecond), float64(done)/lasted.Seconds(),
		size/lasted.Seconds(), float64(done)/float64(blocks), most/(1<<20))
	t.Logf("rounds entered by all nodes: %.0f by QC, %.0f by TC", qcAfter-qc, tcAfter-tc)
	if bound := float64(len(n.members)) + (qcAfter-qc)*mostExpired/1000; tcAfter-tc > bound {
		t.Errorf("%.0f rounds ended by a timeout, want at most %.0f", tcAfter-tc, bound)
	}
	if done < int64(count(200, 20_000)) || most > mostMemory {
		t.Error("too little was committed, or too much memory taken")
	}
	for i, w := range p.wallets {
		var a account
		n.get(n.members[i%validators].rest, "/v1/accounts/"+w.address, &a)
		if spent := p.sequences[i] * (1 + ledger.MaxOutputs); a.Sequence != p.sequences[i] || a.Balance != payersFunds-spent {
			t.Errorf("payer %d has %+v, committed are %d", i, a, p.sequences[i])
		}
	}
	n.signedOnce()
}
