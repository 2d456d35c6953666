package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Wallet signs transactions with one key. Safe for concurrent use.
type Wallet struct {
	key    signature.PrivateKey
	prefix string
}

// NewWallet makes the wallet of a key on a chain whose addresses have this prefix.
func NewWallet(key signature.PrivateKey, prefix string) *Wallet { return &Wallet{key, prefix} }

// Address is the wallet's account.
func (w *Wallet) Address() string { return ledger.AddressOf(w.key.Public()).Text(w.prefix) }

// Transfer is a transaction that moves value from the wallet that signs it.
type Transfer struct {
	ChainID   string
	Sequence  uint64
	Fee       uint64    // in base units
	ExpiresAt time.Time // by block time, in whole milliseconds; zero: never
	Memo      string
	Outputs   []Output
}

// Output gives one account its share.
type Output struct {
	To     string // bech32m address
	Amount uint64 // in base units
}

// Signed is a signed transaction.
type Signed struct {
	ID          string // 64 lower-case hex digits
	Transaction *cairnv1.SignedTransaction
}

// Sign makes a transaction, without asking any node. The error names the field that the chain would refuse.
func (w *Wallet) Sign(t Transfer) (*Signed, error) {
	body := ledger.Body{
		ChainID: t.ChainID, Sender: ledger.AddressOf(w.key.Public()), Sequence: t.Sequence, Fee: t.Fee, Memo: t.Memo,
	}
	if !t.ExpiresAt.IsZero() {
		body.ExpiresAt = consensus.Timestamp(t.ExpiresAt.UnixMilli())
	}
	for i, o := range t.Outputs {
		to, err := ledger.ParseAddress(w.prefix, o.To)
		if err != nil {
			return nil, fmt.Errorf("output %d, %q: %w", i, o.To, err)
		}
		body.Outputs = append(body.Outputs, ledger.Output{To: to, Amount: o.Amount})
	}
	raw, err := body.Encode(w.prefix)
	if err != nil {
		return nil, err
	}
	tx := ledger.Sign(w.key, raw)
	return &Signed{ID: tx.ID().String(), Transaction: &cairnv1.SignedTransaction{
		Body: raw, PublicKey: tx.PublicKey.String(), Signature: tx.Signature.String(),
	}}, nil
}

// Draft is a transfer of which some parts are left to the node.
type Draft struct {
	Transfer
	AskSequence bool // use the next sequence behind what the node's mempool holds
	AskFee      bool // pay the least fee
}

// BuildTransfer asks the node for what the draft leaves open, the chain id included if it is empty, and signs.
func (c *Client) BuildTransfer(ctx context.Context, w *Wallet, d Draft) (*Signed, error) {
	t := d.Transfer
	if t.ChainID == "" || d.AskFee {
		chain, err := c.Chain(ctx)
		if err != nil {
			return nil, err
		}
		if t.ChainID == "" {
			t.ChainID = chain.GetChainId()
		}
		if d.AskFee {
			t.Fee = chain.GetMinimumFee()
		}
	}
	if d.AskSequence {
		account, err := c.Account(ctx, w.Address())
		if err != nil {
			return nil, err
		}
		t.Sequence = max(account.GetPendingSequence(), account.GetSequence())
	}
	return w.Sign(t)
}

// resubmitPause is the least time between two submissions of one transaction while waiting.
const resubmitPause = 100 * time.Millisecond

// Submit posts a transaction and waits up to wait for it to be decided, longer than a node's own limit if need be; 0
// does not wait. An expired wait is no error: the answer is then PENDING. A refusal is an *Error; that the transaction
// was dropped while waiting stands in the answer. Submitting the same transaction again is harmless.
func (c *Client) Submit(ctx context.Context, s *Signed, wait time.Duration) (*cairnv1.SubmitTransactionResponse, error) {
	deadline := time.Now().Add(wait)
	for {
		req := &cairnv1.SubmitTransactionRequest{Transaction: s.Transaction}
		begin := time.Now()
		left := deadline.Sub(begin)
		if left > 0 {
			req.Wait = durationpb.New(left)
		}
		out, err := c.transactions.SubmitTransaction(ctx, req)
		if err != nil || out.GetState() != cairnv1.TransactionState_PENDING || time.Until(deadline) <= 0 {
			return out, wrap(err)
		}
		// The node's limit of waiting is below ours, so we ask again: the id makes that one transaction.
		pause := min(time.Until(deadline), resubmitPause-time.Since(begin))
		if err := sleep(ctx, pause); err != nil {
			return out, nil
		}
	}
}

// sleep waits for d, or less if ctx ends first: then its error is returned.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
