package load

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// account is one of those that pay each other. The fields below the line belong to the tracker.
type account struct {
	key     signature.PrivateKey
	public  string // its public key, as text
	address string
	to      *account // whom it pays
	wallet  *client.Wallet
	draft   draft

	place     int         // where its transactions are submitted
	next      uint64      // the sequence of the next transfer that is signed
	waiting   []*transfer // signed and to be submitted, by sequence
	flying    []*transfer // submitted and neither committed nor refused, by sequence but for those submitted again
	restUntil time.Time   // nothing is submitted before
	balance   uint64      // as all commits seen so far leave it
	sequence  uint64      // likewise: the next to be committed
	offered   bool        // it is among the ready ones, or will be after its rest
	parked    bool        // out of the ready ones until fewer are flying
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
		key := keyOf(c.id, cfg.Seed, "account", i)
		w := client.NewWallet(key, c.prefix)
		all[i] = &account{key: key, public: key.Public().String(), wallet: w, address: w.Address(), place: i % places}
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
	signed, err := a.wallet.Sign(client.Transfer{
		ChainID: c.id, Sequence: a.next, Fee: c.fee, Memo: memo(0, 0), Outputs: []client.Output{{To: a.to.address, Amount: amount}},
	})
	if err != nil {
		return 0, 0, err
	}
	least := len(signed.Transaction.GetBody()) + signature.PublicKeySize + signature.Size
	more := max(0, size-least)
	return memoDigits + more, least + more, nil
}

// memoDigits is the number at the beginning of a memo.
const memoDigits = 12

// memo is a text of a length, at least memoDigits, that begins with a number.
func memo(n uint64, length int) string {
	text := fmt.Sprintf("%0*x", memoDigits, n&(1<<(4*memoDigits)-1))
	return text + strings.Repeat(".", max(0, length-len(text)))
}

// draft is what all transfers of an account have in common, as bytes: to encode each of them anew would cost about as
// much as to sign it.
type draft struct {
	head   []byte // what comes before the sequence
	fee    []byte // what comes between sequence and memo
	memo   int    // its length
	nonce  uint64 // of this run: a transfer that an earlier run signed and never submitted is another one
	tail   []byte // what comes behind the memo
	length int    // about that of a body
}

// The fields of a body, as numbered in transaction.proto.
const (
	fieldChainID  protowire.Number = 1
	fieldSender   protowire.Number = 2
	fieldSequence protowire.Number = 3
	fieldFee      protowire.Number = 4
	fieldMemo     protowire.Number = 6
	fieldTransfer protowire.Number = 7
	fieldOutputs  protowire.Number = 1
	fieldTo       protowire.Number = 1
	fieldAmount   protowire.Number = 2
)

// prepareDrafts makes the accounts ready to sign transfers with memos of a length.
func prepareDrafts(c chain, accounts []*account, memo int) {
	nonce := rand.Uint64()
	for _, a := range accounts {
		d := draft{memo: memo, nonce: nonce}
		d.head = appendText(appendText(nil, fieldChainID, c.id), fieldSender, a.address)
		if c.fee > 0 {
			d.fee = appendNumber(nil, fieldFee, c.fee)
		}
		output := appendNumber(appendText(nil, fieldTo, a.to.address), fieldAmount, amount)
		d.tail = appendText(nil, fieldTransfer, string(appendText(nil, fieldOutputs, string(output))))
		d.length = len(d.head) + len(d.fee) + len(d.tail) + memo + 2*16
		a.draft = d
	}
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// body encodes the transfer of a sequence.
func (d draft) body(sequence uint64) []byte {
	b := append(make([]byte, 0, d.length), d.head...)
	if sequence > 0 {
		b = appendNumber(b, fieldSequence, sequence)
	}
	b = append(b, d.fee...)
	b = protowire.AppendTag(b, fieldMemo, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(d.memo))
	const digits = "0123456789abcdef"
	for i, n := 0, d.nonce+sequence; i < d.memo; i++ {
		if i < memoDigits {
			b = append(b, digits[n>>(4*(memoDigits-1-i))&0xf])
		} else {
			b = append(b, '.')
		}
	}
	return append(b, d.tail...)
}

// transfer is a signed transfer of an account. The fields below the line belong to the tracker.
type transfer struct {
	id        consensus.Hash
	from      *account
	sequence  uint64
	body      []byte
	signature signature.Signature

	postedAt  int       // the place where it was posted last
	start     time.Time // from when its latency counts
	measured  bool      // not of the warm-up
	at        time.Time // of the last answer about it
	state     stage
	why       string // the refusal or drop after which it waits; empty: none, or no answer came
	dropped   bool   // it was acknowledged and then dropped
	committed bool   // its commit was seen
	slot      bool   // it holds a place in the window
	again     bool   // it was refused, and is submitted again with its old start
}

// stage is where a transfer is.
type stage uint8

const (
	waits   stage = iota // to be submitted, for the first time or again
	flies                // submitted and not answered
	isTaken              // acknowledged
)

// sign makes the transfer of a sequence.
func (a *account) sign(sequence uint64) *transfer {
	body := a.draft.body(sequence)
	return &transfer{
		id: ledger.ID(body), from: a, sequence: sequence, body: body, signature: a.key.Sign(ledger.SigningBytes(body)),
	}
}

// wire is the transfer as the API takes it.
func (t *transfer) wire() *cairnv1.SignedTransaction {
	return &cairnv1.SignedTransaction{Body: t.body, PublicKey: t.from.public, Signature: t.signature.String()}
}

func (t *transfer) signed() *client.Signed {
	return &client.Signed{ID: t.id.String(), Transaction: t.wire()}
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
