package node

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// wallet opens one of the network's funded wallets.
func (c *cluster) wallet(name string) *client.Wallet {
	c.t.Helper()
	file, err := c.network.Wallets().Read(name)
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := file.Unlock(keys.Passphrase{})
	if err != nil {
		c.t.Fatal(err)
	}
	return client.NewWallet(key.Private(), "cairn")
}

// transfer sends from a wallet to another by way of m and waits for the receipt.
func (m *clusterMember) transfer(from, to *client.Wallet, amount uint64) *cairnv1.Receipt {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	signed, err := m.client.BuildTransfer(ctx, from, client.Draft{
		Transfer: client.Transfer{Outputs: []client.Output{{To: to.Address(), Amount: amount}}}, AskSequence: true, AskFee: true,
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
	answer, err := m.client.Submit(ctx, signed, 30*time.Second)
	if err != nil {
		m.c.t.Fatal(err)
	}
	if answer.GetReceipt().GetCode() != cairnv1.ReceiptCode_OK || answer.GetState() != cairnv1.TransactionState_COMMITTED {
		m.c.t.Fatalf("transfer: %v", answer)
	}
	return answer.GetReceipt()
}

// checkEqual waits until all running members have this height, and compares blocks, roots and the balance of address.
func (c *cluster) checkEqual(height uint64, address string) {
	c.t.Helper()
	var first *cairnv1.Block
	var balance uint64
	for _, m := range c.members {
		if m.node == nil {
			continue
		}
		m.await("the height of the others", func(s *storage.Store) bool { return uint64(s.Tip().Height) >= height })
		block, err := m.client.Block(context.Background(), height)
		if err != nil {
			c.t.Fatal(err)
		}
		account, err := m.client.Account(context.Background(), address)
		if err != nil {
			c.t.Fatal(err)
		}
		if first == nil {
			first, balance = block, account.GetBalance()
		}
		if block.GetId() != first.GetId() || block.GetStateRoot() != first.GetStateRoot() || account.GetBalance() != balance {
			c.t.Fatalf("height %d differs: %s %s %d here, %s %s %d there", height, block.GetId(), block.GetStateRoot(),
				account.GetBalance(), first.GetId(), first.GetStateRoot(), balance)
		}
	}
	if first == nil {
		c.t.Fatal("nobody runs")
	}
}

func TestTransferCommitsOnAllNodes(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	for i := range 12 {
		receipt := c.members[i%4].transfer(alice, bob, 1000)
		c.checkEqual(receipt.GetHeight(), bob.Address())
	}
	account, err := c.members[2].client.Account(context.Background(), bob.Address())
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(walletBalance + 12*1000); account.GetBalance() != want {
		t.Fatalf("bob has %d, want %d", account.GetBalance(), want)
	}
}

// TestThreeChain: under the other rule transfers commit on all nodes too, with one of four down, and after a restart of all.
func TestThreeChain(t *testing.T) {
	c := newClusterUnder(t, consensus.ThreeChain, 4)
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	chain, err := c.members[0].client.Chain(context.Background())
	if err != nil || chain.GetCommitRule() != "three_chain" {
		t.Fatalf("%v, %v", chain, err)
	}
	receipt := c.members[1].transfer(alice, bob, 5)
	c.checkEqual(receipt.GetHeight(), bob.Address())
	stored, err := c.members[2].node.Store().Block(consensus.Height(receipt.GetHeight()))
	if err != nil {
		t.Fatal(err)
	}
	if p := stored.Proof; p.Commit().Round+2 != p.Round() || p.Commit().Height < stored.Info.Height {
		t.Errorf("block %v is proved by %v", stored.Info, p)
	}
	c.members[3].halt()
	receipt = c.members[0].transfer(alice, bob, 5)
	c.checkEqual(receipt.GetHeight(), bob.Address())
	for _, m := range c.members[:3] {
		m.halt()
	}
	c.start()
	receipt = c.members[3].transfer(alice, bob, 5)
	c.checkEqual(receipt.GetHeight(), bob.Address())
}

func TestRestartedNodeCatchesUpAndVotes(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	c.members[3].halt()
	for range 10 {
		c.members[0].transfer(alice, bob, 1)
	}
	c.members[3].restart()
	c.members[1].halt() // from now on nothing commits without the restarted one
	receipt := c.members[0].transfer(alice, bob, 1)
	c.checkEqual(receipt.GetHeight(), bob.Address())
}

func TestSecondStartContinuesTheChain(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	before := c.members[0].transfer(alice, bob, 5)
	for _, m := range c.members {
		m.halt()
	}
	c.start()
	after := c.members[1].transfer(alice, bob, 5)
	if after.GetHeight() <= before.GetHeight() {
		t.Fatalf("height %d after the restart, %d before", after.GetHeight(), before.GetHeight())
	}
	c.checkEqual(after.GetHeight(), bob.Address())
}

func TestWithoutQuorumReadsWorkAndReasonsAreSaid(t *testing.T) {
	c := newCluster(t, 4)
	c.start()
	alice, bob := c.wallet("alice"), c.wallet("bob")
	receipt := c.members[0].transfer(alice, bob, 5)
	c.members[2].halt()
	c.members[3].halt()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		status, err := c.members[0].client.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !status.GetReady() {
			if reasons := strings.Join(status.GetReasons(), " "); !strings.Contains(reasons, "node2") || !strings.Contains(reasons, "node3") {
				t.Fatalf("reasons do not name who is missing: %s", reasons)
			}
			break
		}
	}
	answer, err := http.Get(c.members[0].node.Endpoints().REST + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "quorum") {
		t.Fatalf("/readyz: %d %s", answer.StatusCode, body)
	}
	c.checkEqual(receipt.GetHeight(), bob.Address())

	c.members[2].restart()
	receipt = c.members[0].transfer(alice, bob, 5)
	c.checkEqual(receipt.GetHeight(), bob.Address())
}
