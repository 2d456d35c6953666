package node

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

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
	Missing string         `json:"missing,omitempty"` // the first key that was read and is not in the dump, in hex
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
	out.Missing = state.missing()
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

// absences says what a dump lacks that does not have a file.
var absences = map[string]string{
	dumpBlock:  "the node that stopped did not have the block any more",
	dumpParent: "what the block was executed on was gone",
	dumpReads:  "what the block read was gone",
}

func readExecution(dir string) (*consensus.Block, consensus.BlockInfo, *dumpedState, error) {
	var raw [3][]byte
	for i, name := range []string{dumpBlock, dumpParent, dumpReads} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, consensus.BlockInfo{}, nil, fmt.Errorf("it has no %s: %s", name, absences[name])
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
	return block, parent, &dumpedState{reads: reads}, err
}

// dumpedState is the state before a block as far as its execution read it. Safe for concurrent use.
type dumpedState struct {
	reads map[string][]byte

	mu     sync.Mutex
	absent []byte // the first key that was asked for and is not there; nil: none
}

// errNotRead is of a key that is not in the dump.
var errNotRead = errors.New("the dump does not have this key")

// Get is part of app.State.
func (s *dumpedState) Get(key []byte) ([]byte, error) {
	value, ok := s.reads[string(key)]
	if ok {
		return value, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.absent == nil {
		s.absent = append([]byte{}, key...)
	}
	return nil, fmt.Errorf("key %x: %w", key, errNotRead)
}

func (s *dumpedState) missing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return hex.EncodeToString(s.absent)
}

func (r Replayed) verdict() string {
	same := func(o *DumpedOutcome) bool {
		return o != nil && r.Outcome != nil && o.StateRoot == r.Outcome.StateRoot && o.ReceiptsRoot == r.Outcome.ReceiptsRoot
	}
	switch {
	case r.Missing != "" && r.Report.Truncated:
		return fmt.Sprintf("nothing follows from this: the dump was made without key %s, for the block read more than the %d MiB "+
			"that a dump keeps", r.Missing, engine.MaxReadBytes>>20)
	case r.Missing != "":
		return fmt.Sprintf("nothing follows from this: the dump is without key %s, which the node that stopped did not read: "+
			"this version executes the block in another way", r.Missing)
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
