// Package ledger is the built-in application: accounts with a balance, and signed transfers between them.
//
// A transaction passes the prologue (prologue.go) or its block is invalid; after the prologue execution is total: every
// transaction leaves a receipt, pays its fee to the proposer and uses its sequence, whether or not its transfer
// succeeds. The supply is fixed in genesis and conserved.
package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/signature"
)

// Params are the constants of a chain that its clients need.
type Params struct {
	ChainID       string
	AddressPrefix string
	MinimumFee    uint64 // in base units
	Faucet        bool
}

// Ledger is an app.App. Safe for concurrent use.
type Ledger struct {
	params   Params
	document []byte
	genesis  app.Result
	verified *verified
}

var _ app.App = (*Ledger)(nil)

// New returns the ledger of the chain with this id and genesis document, which it checks. Signatures are verified by
// scheme, each transaction's once as long as it is remembered.
func New(chainID string, document []byte, scheme signature.Scheme) (*Ledger, error) {
	d, err := ParseDocument(document)
	if err != nil {
		return nil, err
	}
	balances, supply, err := d.balances()
	if err != nil {
		return nil, fmt.Errorf("ledger genesis: %w", err)
	}
	state := app.NewOverlay(nil)
	for address, balance := range balances { // Changes orders them
		state.Set(AccountKey(address), Account{Balance: balance}.Encode())
	}
	w := canonical.NewWriter(8)
	w.Uint64(supply)
	state.Set([]byte(keySupply), w.Bytes())
	return &Ledger{
		params: Params{
			ChainID: chainID, AddressPrefix: d.AddressPrefix, MinimumFee: d.MinimumFee, Faucet: d.Faucet,
		},
		document: bytes.Clone(document),
		genesis:  app.Result{Changes: state.Changes()},
		verified: newVerified(scheme),
	}, nil
}

// Params returns the chain's constants.
func (l *Ledger) Params() Params { return l.params }

// Verifications returns how many signatures were verified so far. In a node where every transaction is admitted
// before it is executed, that is the number of transactions seen.
func (l *Ledger) Verifications() uint64 { return l.verified.count.Load() }

// Genesis implements app.App. The document must be the one that New was given.
func (l *Ledger) Genesis(document []byte) (app.Result, error) {
	if !bytes.Equal(document, l.document) {
		return app.Result{}, errors.New("ledger genesis: another document than the one this ledger was made for")
	}
	return l.genesis, nil
}

// Query implements app.App: the request is the 20 bytes of an address, the answer is Account.Encode.
func (l *Ledger) Query(s app.State, request []byte) ([]byte, error) {
	if len(request) != consensus.ValidatorIDSize {
		return nil, app.Reject(app.ReasonBadQuery, "want the %d bytes of an address", consensus.ValidatorIDSize)
	}
	account, err := ReadAccount(s, Address(request))
	if err != nil {
		return nil, err
	}
	return account.Encode(), nil
}

// open checks everything about a transaction that depends neither on state nor on its signature. The claim is nil when
// the signature was verified before.
func (l *Ledger) open(tx app.Tx) (*checked, *claim, *app.Rejection) {
	t, rejection := takeApart(tx)
	if rejection != nil {
		return nil, nil, rejection
	}
	hash := consensus.Hash(sha256.Sum256(tx))
	if known := l.verified.find(hash); known != nil {
		return known, nil, nil
	}
	d := bodyDecoder{prefix: l.params.AddressPrefix, chain: l.params.ChainID}
	if rejection = d.decode(t.Body); rejection != nil {
		return nil, nil, rejection
	}
	switch sender := t.Sender(); {
	case d.body.ChainID != l.params.ChainID:
		return nil, nil, app.Reject(app.ReasonWrongChain, "the transaction is for chain %q, this is %q", d.body.ChainID,
			l.params.ChainID).With("chainId", l.params.ChainID)
	case d.body.Sender != sender:
		return nil, nil, app.Reject(app.ReasonWrongSender, "the sender is not the address of the public key, which is %s",
			sender.Text(l.params.AddressPrefix))
	}
	c := &checked{hash: hash, id: t.ID(), key: t.PublicKey, sender: d.sender, body: d.body, total: d.body.Total()}
	return c, &claim{c, signature.Item{Key: t.PublicKey, Message: SigningBytes(t.Body), Signature: t.Signature}}, nil
}

func badSignature() *app.Rejection {
	return app.Reject(app.ReasonBadSignature, "the signature does not verify over the domain and the body")
}
