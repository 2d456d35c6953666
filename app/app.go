// Package app is the contract of a replicated application.
//
// An App is a deterministic function from (state, block) to changes. It keeps no state of its own: the node stores the
// changes, forks them per uncommitted block, and commits them with the block. app/ledger is the built-in application,
// app/counter the smallest example.
package app

import (
	"errors"
	"fmt"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

// ErrInvalidBlock says that a block breaks a rule of the application, so no honest validator votes for it. Execute
// wraps it with the reason.
var ErrInvalidBlock = errors.New("invalid block")

// Tx is a transaction as carried: opaque to consensus.
type Tx []byte

// State reads one version of the application's state. Safe for concurrent use.
type State interface {
	// Get returns the value of key, or nil when there is none. The caller must not change it. An error is a failure of
	// storage and is fatal: the app returns it as it is.
	Get(key []byte) ([]byte, error)
}

// Change sets a key, or deletes it when Value is nil.
type Change struct {
	Key   []byte
	Value []byte
}

// Header is what an application may know of a block before its transactions.
type Header struct {
	Height    consensus.Height
	Timestamp consensus.Timestamp // block time: the only clock an application has
	Proposer  consensus.ValidatorID
}

// Block is what an application executes.
type Block struct {
	Header
	Transactions []Tx
}

// TxInfo is what the mempool orders a transaction by.
type TxInfo struct {
	ID       consensus.Hash      // names the transaction; at most one of a chain's committed transactions has it
	Sender   string              // whose sequence it uses
	Sequence uint64              // must be the sender's next when it executes
	Next     uint64              // the sender's next sequence in the state it was checked on
	Fee      uint64              // in base units
	Cost     uint64              // what it can take from the sender's balance at most, fee included
	Balance  uint64              // the sender's balance in the state it was checked on
	Expiry   consensus.Timestamp // refused in blocks of this time or later; 0 is never
	Claim    Claim               // what Verify has to decide before any of this may be believed; nil: nothing
}

// Claim is what is dear to decide about a checked transaction and does not depend on state, such as its signature. Only
// the App that made it looks inside.
type Claim any

// CodeOK is the code of a transaction that did what it asked for.
const CodeOK uint32 = 0

// Receipt is the outcome of one transaction of a block.
type Receipt struct {
	ID      consensus.Hash // of the transaction
	Code    uint32         // CodeOK, or a code of the application
	Message string         // for people: why it failed; deterministic
	Fee     uint64         // what was charged, in base units
	Data    []byte         // the application's own
}

// MaxReceiptText bounds Message and Data, each, in bytes; a longer one is a broken invariant of the application.
const MaxReceiptText = 1 << 10

// Encode returns the canonical bytes: the leaf of the receipts root.
func (r Receipt) Encode() []byte {
	w := canonical.NewWriter(r.size())
	r.write(w)
	return w.Bytes()
}

func (r Receipt) write(w *canonical.Writer) {
	if len(r.Message) > MaxReceiptText || len(r.Data) > MaxReceiptText {
		panic(fmt.Sprintf("app: receipt of %v is over its limit", r.ID))
	}
	w.Fixed(r.ID[:])
	w.Uint32(r.Code)
	w.String(r.Message)
	w.Uint64(r.Fee)
	w.VarBytes(r.Data)
}

// size is what write writes, in bytes.
func (r Receipt) size() int { return consensus.HashSize + 4 + 4 + len(r.Message) + 8 + 4 + len(r.Data) }

// EncodeReceipts returns the canonical bytes of each: the leaves of the receipts root.
func EncodeReceipts(receipts []Receipt) [][]byte {
	size := 0
	for i := range receipts {
		size += receipts[i].size()
	}
	w, leaves := canonical.NewWriter(size), make([][]byte, len(receipts))
	for i := range receipts {
		begin := len(w.Bytes())
		receipts[i].write(w)
		end := len(w.Bytes())
		leaves[i] = w.Bytes()[begin:end:end]
	}
	return leaves
}

// DecodeReceipt reads what Encode wrote, else consensus.ErrMalformed.
func DecodeReceipt(b []byte) (Receipt, error) {
	r := canonical.NewReader(b)
	var out Receipt
	r.Copy(out.ID[:])
	out.Code = r.Uint32()
	out.Message = r.String(MaxReceiptText)
	out.Fee = r.Uint64()
	if data := r.VarBytes(MaxReceiptText); len(data) != 0 {
		out.Data = append([]byte(nil), data...)
	}
	if err := r.Close(); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w: %w", consensus.ErrMalformed, err)
	}
	return out, nil
}

// ReceiptsRoot is the RFC 6962 root over the receipts' canonical bytes.
func ReceiptsRoot(receipts []Receipt) consensus.Hash {
	return consensus.MerkleRoot(EncodeReceipts(receipts))
}

// NextSequence says which sequence a sender uses next, once a block is committed.
type NextSequence struct {
	Sender string
	Next   uint64
}

// Result is the outcome of a block.
type Result struct {
	Changes   []Change       // each key at most once, ordered by key
	Receipts  []Receipt      // one per transaction, in order
	Sequences []NextSequence // of every sender in the block, once, ordered by sender: the mempool follows these
}

// Dropped is a candidate that is not valid in the block asked for, and why.
type Dropped struct {
	Tx     Tx
	Reason error
	Final  bool // it can never become valid: forget it. Otherwise it may be tried again later
}

// App is a replicated application. All methods are deterministic functions of their arguments and safe for concurrent
// use; memory of verified signatures is the only thing an App may keep, for it changes no answer.
type App interface {
	// Genesis reads the application's part of the genesis document and returns the first state. An error says what is
	// wrong with the document.
	Genesis(document []byte) (Result, error)
	// Check decides about admission to the mempool on a recent state, as far as that is cheap. Advisory. A refusal is a
	// *Rejection. The rest is the Claim of the TxInfo.
	Check(s State, tx Tx) (TxInfo, error)
	// Verify decides claims of Check together, which is cheaper than one by one: the refusals, nil for what holds, in the
	// claims' order. What holds is remembered, so that Prepare and Execute need not decide it again.
	Verify(claims []Claim) []*Rejection
	// Prepare is the leader's filter: what of the candidates is valid in block h on s, in an order in which Execute
	// accepts it. Kept and dropped together are the candidates.
	Prepare(s State, h Header, candidates []Tx) (kept []Tx, dropped []Dropped, err error)
	// Execute runs a block on the state after its parent. An error that wraps ErrInvalidBlock: nobody votes for it. Any
	// other error is fatal to the node.
	Execute(s State, b Block) (Result, error)
	// Query answers a read in the application's own encoding. A refusal is a *Rejection.
	Query(s State, request []byte) ([]byte, error)
}

// Admit is Check and Verify of a single transaction.
func Admit(a App, s State, tx Tx) (TxInfo, error) {
	info, err := a.Check(s, tx)
	if err == nil && info.Claim != nil {
		if rejection := a.Verify([]Claim{info.Claim})[0]; rejection != nil {
			return TxInfo{}, rejection
		}
	}
	info.Claim = nil
	return info, err
}

// Reason is why a transaction or a query was refused: the closed list that the API maps to its error reasons.
type Reason string

// The reasons for which an App refuses.
const (
	ReasonMalformed           Reason = "MALFORMED_TRANSACTION"
	ReasonTooLarge            Reason = "TRANSACTION_TOO_LARGE"
	ReasonWrongChain          Reason = "WRONG_CHAIN"
	ReasonWrongSender         Reason = "WRONG_SENDER"
	ReasonBadSignature        Reason = "BAD_SIGNATURE"
	ReasonExpired             Reason = "EXPIRED"
	ReasonSequenceTooOld      Reason = "SEQUENCE_TOO_OLD"
	ReasonSequenceTooNew      Reason = "SEQUENCE_TOO_NEW"
	ReasonFeeTooLow           Reason = "FEE_TOO_LOW"
	ReasonInsufficientBalance Reason = "INSUFFICIENT_BALANCE"
	ReasonBadQuery            Reason = "MALFORMED_REQUEST"
)

// Rejection is a refusal that the client can act on.
type Rejection struct {
	Reason   Reason
	Message  string            // what is wrong and what to do
	Metadata map[string]string // what varies, for programs, under the keys that the API documents at the reason; may be nil
}

// Error returns the message.
func (r *Rejection) Error() string { return r.Message }

// Reject makes a Rejection.
func Reject(reason Reason, format string, args ...any) *Rejection {
	return &Rejection{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// With adds one entry of metadata and returns r.
func (r *Rejection) With(key string, value any) *Rejection {
	if r.Metadata == nil {
		r.Metadata = make(map[string]string)
	}
	r.Metadata[key] = fmt.Sprint(value)
	return r
}
