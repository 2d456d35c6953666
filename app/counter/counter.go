// Package counter is the smallest application: it counts names. It shows what an app.App has to do, and is the second
// implementation of that contract beside app/ledger.
//
// A transaction is the text "name number": count name, whose count is number so far. The number makes each transaction
// of a name another one, and puts them in order.
package counter

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

// MaxName is the longest name, in bytes; a longer one is refused.
const MaxName = 64

// Counter is an app.App. The zero Counter is ready and safe for concurrent use.
type Counter struct{}

var _ app.App = Counter{}

// Tx returns the transaction that counts name, whose count is number so far.
func Tx(name string, number uint64) app.Tx { return app.Tx(fmt.Sprintf("%s %d", name, number)) }

func parse(tx app.Tx) (name string, number uint64, rejection *app.Rejection) {
	name, digits, _ := strings.Cut(string(tx), " ")
	number, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || name == "" || len(name) > MaxName || string(Tx(name, number)) != string(tx) {
		return "", 0, app.Reject(app.ReasonMalformed, "want a name of up to %d bytes, a space and a number", MaxName)
	}
	return name, number, nil
}

// Read returns the count of name; an error is a failure of storage.
func Read(s app.State, name string) (uint64, error) {
	value, err := s.Get([]byte(name))
	if err != nil || value == nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

// Genesis starts with every count at 0; the document must be {}.
func (Counter) Genesis(document []byte) (app.Result, error) {
	if string(document) != "{}" {
		return app.Result{}, fmt.Errorf("counter genesis: want {}, got %d bytes", len(document))
	}
	return app.Result{}, nil
}

// Check admits a count that lies at or after the present one.
func (Counter) Check(s app.State, tx app.Tx) (app.TxInfo, error) {
	name, number, rejection := parse(tx)
	if rejection != nil {
		return app.TxInfo{}, rejection
	}
	next, err := Read(s, name)
	if err != nil {
		return app.TxInfo{}, err
	}
	if number < next {
		return app.TxInfo{}, app.Reject(app.ReasonSequenceTooOld, "%s is counted up to %d", name, next)
	}
	return app.TxInfo{ID: sha256.Sum256(tx), Sender: name, Sequence: number, Next: next}, nil
}

// Verify is never asked: no claim is left open.
func (Counter) Verify(claims []app.Claim) []*app.Rejection {
	return make([]*app.Rejection, len(claims))
}

// count applies tx to the overlay, or says why it may not be the next.
func count(s *app.Overlay, tx app.Tx) (*app.Rejection, error) {
	name, number, rejection := parse(tx)
	if rejection != nil {
		return rejection, nil
	}
	next, err := Read(s, name)
	switch {
	case err != nil:
		return nil, err
	case number < next:
		return app.Reject(app.ReasonSequenceTooOld, "%s is counted up to %d", name, next), nil
	case number > next:
		return app.Reject(app.ReasonSequenceTooNew, "%s is counted up to %d", name, next), nil
	}
	s.Set([]byte(name), binary.BigEndian.AppendUint64(nil, next+1))
	return nil, nil
}

// Prepare keeps what counts on, in the order of the candidates.
func (Counter) Prepare(s app.State, _ app.Header, candidates []app.Tx) (kept []app.Tx, dropped []app.Dropped, err error) {
	overlay := app.NewOverlay(s)
	for _, tx := range candidates {
		rejection, err := count(overlay, tx)
		switch {
		case err != nil:
			return nil, nil, err
		case rejection != nil:
			dropped = append(dropped, app.Dropped{Tx: tx, Reason: rejection, Final: rejection.Reason != app.ReasonSequenceTooNew})
		default:
			kept = append(kept, tx)
		}
	}
	return kept, dropped, nil
}

// Execute counts; every transaction of a valid block does.
func (Counter) Execute(s app.State, b app.Block) (app.Result, error) {
	overlay := app.NewOverlay(s)
	var out app.Result
	for i, tx := range b.Transactions {
		rejection, err := count(overlay, tx)
		if err != nil {
			return app.Result{}, err
		}
		if rejection != nil {
			return app.Result{}, fmt.Errorf("%w: transaction %d: %w", app.ErrInvalidBlock, i, rejection)
		}
		out.Receipts = append(out.Receipts, app.Receipt{ID: consensus.Hash(sha256.Sum256(tx)), Code: app.CodeOK})
	}
	out.Changes = overlay.Changes()
	for _, c := range out.Changes { // one per name, ordered by name
		out.Sequences = append(out.Sequences, app.NextSequence{Sender: string(c.Key), Next: binary.BigEndian.Uint64(c.Value)})
	}
	return out, nil
}

// Query answers the count of the name in the request, in decimal.
func (Counter) Query(s app.State, request []byte) ([]byte, error) {
	n, err := Read(s, string(request))
	if err != nil {
		return nil, err
	}
	return strconv.AppendUint(nil, n, 10), nil
}
