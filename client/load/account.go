package load

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus/signature"
)

// account is one of those that pay each other. The fields below the line belong to the tracker.
type account struct {
	wallet  *client.Wallet
	address string
	to      *account // whom it pays
	place   int      // where its transactions are submitted; changed by who holds it
	next    uint64   // its next sequence; belongs to who holds it

	balance  uint64 // as all commits seen so far leave it
	sequence uint64 // likewise: the next to be committed
	pending  int    // submitted and not known to be committed or refused
	parked   bool   // out of the ready ones until its pending ones are fewer
}

// keyOf derives the key of an account, or of the bank, from the seed: the same on every run on this chain.
func keyOf(chainID string, seed uint64, what string, index int) signature.PrivateKey {
	b := []byte("cairn/load/" + what + "/" + chainID + "\x00")
	b = binary.BigEndian.AppendUint64(b, seed)
	b = binary.BigEndian.AppendUint64(b, uint64(index))
	return signature.NewPrivateKey(sha256.Sum256(b))
}

// newAccounts makes a ring of accounts, each of which pays the next, dealt out to the places of submission.
func newAccounts(c chain, cfg Config, places int) []*account {
	all := make([]*account, cfg.Accounts)
	for i := range all {
		w := client.NewWallet(keyOf(c.id, cfg.Seed, "account", i), c.prefix)
		all[i] = &account{wallet: w, address: w.Address(), place: i % places}
	}
	for i, a := range all {
		a.to = all[(i+1)%len(all)]
	}
	return all
}

// chain is what a transfer must know of its chain.
type chain struct {
	id, prefix string
	fee        uint64
}

// amount is what a transfer of the load moves.
const amount = 1

// memoLength is the length of the memo that makes a transfer of these accounts as long as size, in bytes as carried, as
// nearly as a memo can; carried is how long it then is.
func memoLength(c chain, a *account, size int) (length, carried int, err error) {
	signed, err := a.sign(c, strings.Repeat(".", nonceDigits))
	if err != nil {
		return 0, 0, err
	}
	least := len(signed.Transaction.GetBody()) + signature.PublicKeySize + signature.Size
	more := max(0, size-least)
	return nonceDigits + more, least + more, nil
}

// nonceDigits is how much of a memo tells apart transactions of one account and sequence.
const nonceDigits = 12

// memo is a text of a length that begins with the nonce.
func memo(nonce uint64, length int) string {
	text := fmt.Sprintf("%0*x", nonceDigits, nonce)
	return text + strings.Repeat(".", max(0, length-len(text)))
}

// sign makes the account's next transfer.
func (a *account) sign(c chain, memo string) (*client.Signed, error) {
	return a.wallet.Sign(client.Transfer{
		ChainID: c.id, Sequence: a.next, Fee: c.fee, Memo: memo, Outputs: []client.Output{{To: a.to.address, Amount: amount}},
	})
}

// ready holds the accounts that nobody holds and that may submit. Safe for concurrent use.
type ready chan *account

// take waits for an account; nil when ctx ended.
func (r ready) take(ctx context.Context) *account {
	select {
	case a := <-r:
		return a
	case <-ctx.Done():
		return nil
	}
}

// put gives an account back, at once or after a rest. There is room for every account, so it never waits.
func (r ready) put(a *account, rest time.Duration) {
	if rest <= 0 {
		r <- a
		return
	}
	time.AfterFunc(rest, func() { r <- a })
}
