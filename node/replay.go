package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
)

// ErrNoDump says that a folder is not a dump of an execution, or a damaged one.
var ErrNoDump = errors.New("not a dump of an execution")

// Replayed is what executing the block of a dump again led to.
type Replayed struct {
	Report  DumpReport     `json:"report"`
	Outcome *DumpedOutcome `json:"outcome,omitempty"` // nil: it failed
	Error   string         `json:"error,omitempty"`   // why
	Stack   string         `json:"stack,omitempty"`   // of a panic
	// Verdict says in words how it compares with what the node met.
	Verdict string `json:"verdict"`
}

// Replay executes the block of a dump on what was read, by the chain's built-in application or by another one; with it
// any version can be tried. Errors are of the dump: ErrNoDump, ErrGenesis. What the execution comes to is no error.
func Replay(dir string, other app.App) (Replayed, error) {
	var out Replayed
	raw, err := os.ReadFile(filepath.Join(dir, dumpReport))
	if err == nil {
		err = json.Unmarshal(raw, &out.Report)
	}
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrNoDump, err)
	}
	document, err := LoadGenesis(filepath.Join(dir, dumpGenesis))
	if err != nil {
		return out, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return out, err
	}
	block, parent, state, err := readExecution(dir)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrNoDump, err)
	}
	if other == nil {
		if other, err = ledger.New(genesis.ChainID, genesis.AppDocument, signature.NewEd25519()); err != nil {
			return out, err
		}
	}
	result, err := engine.Run(other, state, block)
	if err != nil {
		out.Error = err.Error()
		if p := (*engine.PanicError)(nil); errors.As(err, &p) {
			out.Stack = string(p.Stack)
		}
	} else {
		out.Outcome = &DumpedOutcome{
			StateRoot:    storage.StateRoot(parent.StateRoot, result.Changes).String(),
			ReceiptsRoot: app.ReceiptsRoot(result.Receipts).String(),
		}
	}
	out.Verdict = out.verdict()
	return out, nil
}

func readExecution(dir string) (*consensus.Block, consensus.BlockInfo, app.State, error) {
	var raw [3][]byte
	for i, name := range []string{dumpBlock, dumpParent, dumpReads} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, consensus.BlockInfo{}, nil, fmt.Errorf("it has no %s: what the block was executed on was gone", name)
		}
		if err != nil {
			return nil, consensus.BlockInfo{}, nil, err
		}
		raw[i] = content
	}
	block, err := consensus.DecodeBlock(raw[0])
	if err != nil {
		return nil, consensus.BlockInfo{}, nil, err
	}
	parent, err := consensus.DecodeBlockInfo(raw[1])
	if err != nil {
		return nil, consensus.BlockInfo{}, nil, err
	}
	reads, err := decodeReads(raw[2])
	return block, parent, dumpedState(reads), err
}

// dumpedState is the state before a block as far as its execution read it.
type dumpedState map[string][]byte

// errNotRead is of a key that is not in the dump: this execution takes another way than the one that was dumped.
var errNotRead = errors.New("the dump does not have this key, which the node's execution did not read")

// Get is part of app.State.
func (s dumpedState) Get(key []byte) ([]byte, error) {
	value, ok := s[string(key)]
	if !ok {
		return nil, fmt.Errorf("key %x: %w", key, errNotRead)
	}
	return value, nil
}

func (r Replayed) verdict() string {
	same := func(o *DumpedOutcome) bool {
		return o != nil && r.Outcome != nil && o.StateRoot == r.Outcome.StateRoot && o.ReceiptsRoot == r.Outcome.ReceiptsRoot
	}
	switch {
	case r.Outcome == nil && r.Report.Kind == "execution failed":
		return "the execution fails here too"
	case r.Outcome == nil:
		return "the execution fails here"
	case same(r.Report.Certified):
		return "the outcome is the certified one: the node that stopped was wrong, this version is not"
	case same(r.Report.Ours):
		return "the outcome is that of the node that stopped, not the certified one: this version computes it too"
	case r.Report.Certified != nil:
		return "the outcome is neither the certified one nor that of the node that stopped"
	default:
		return "the execution succeeds here: this version can go on where the node stopped"
	}
}
