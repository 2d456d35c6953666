package ledger

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

const (
	domainSigning = "cairn/transaction/v1"
	domainID      = "cairn/transaction-id/v1"

	envelopeSize = signature.PublicKeySize + signature.Size

	// MaxBodyBytes is the longest body, in bytes: what a transaction as carried leaves for it.
	MaxBodyBytes = consensus.MaxTransactionBytes - envelopeSize
)

// Transaction is a signed transaction. As carried it is the public key, the signature, then the very bytes of the body:
// fixed widths, so it has one encoding.
type Transaction struct {
	PublicKey signature.PublicKey
	Signature signature.Signature
	Body      []byte // a serialised cairn.v1.TransactionBody
}

// SigningBytes is what a transaction's signature covers: the domain and the very bytes of the body.
func SigningBytes(body []byte) []byte {
	return underDomain(make([]byte, 0, 8+len(domainSigning)+len(body)), domainSigning, body)
}

// ID names a transaction by its body alone: a key's owner can make many signatures of one body, and all of them are
// the same transaction.
func ID(body []byte) consensus.Hash {
	var room [1 << 9]byte // of an ordinary transaction, without a detour over the heap
	return sha256.Sum256(underDomain(room[:0], domainID, body))
}

// underDomain appends the canonical encoding of domain and body.
func underDomain(to []byte, domain string, body []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(domain)))
	to = append(to, domain...)
	to = binary.BigEndian.AppendUint32(to, uint32(len(body)))
	return append(to, body...)
}

// Sign signs body, which it keeps.
func Sign(key signature.PrivateKey, body []byte) Transaction {
	return Transaction{PublicKey: key.Public(), Signature: key.Sign(SigningBytes(body)), Body: body}
}

// ID names the transaction.
func (t Transaction) ID() consensus.Hash { return ID(t.Body) }

// Sender is the address that the public key derives.
func (t Transaction) Sender() Address { return AddressOf(t.PublicKey) }

// Encode returns the transaction as carried.
func (t Transaction) Encode() app.Tx {
	out := make(app.Tx, 0, envelopeSize+len(t.Body))
	out = append(out, t.PublicKey[:]...)
	out = append(out, t.Signature[:]...)
	return append(out, t.Body...)
}

// DecodeTransaction takes a transaction as carried apart: its size and form only; nothing is verified. Body aliases tx.
// A refusal is an *app.Rejection.
func DecodeTransaction(tx app.Tx) (Transaction, error) {
	t, rejection := takeApart(tx)
	if rejection != nil {
		return Transaction{}, rejection
	}
	return t, nil
}

func takeApart(tx app.Tx) (t Transaction, rejection *app.Rejection) {
	if len(tx) > consensus.MaxTransactionBytes {
		return t, app.Reject(app.ReasonTooLarge, "the transaction has %d bytes, the limit is %d", len(tx),
			consensus.MaxTransactionBytes).With("limit", consensus.MaxTransactionBytes)
	}
	if len(tx) <= envelopeSize {
		return t, malformed("%d bytes cannot hold a public key, a signature and a body", len(tx))
	}
	copy(t.PublicKey[:], tx)
	copy(t.Signature[:], tx[signature.PublicKeySize:])
	t.Body = tx[envelopeSize:]
	return t, nil
}

func malformed(format string, args ...any) *app.Rejection {
	return app.Reject(app.ReasonMalformed, format, args...)
}
