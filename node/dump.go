package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/node/newfile"
)

// Files of a dump.
const (
	dumpReport      = "report.json"
	dumpReadme      = "README.txt"
	dumpGenesis     = "genesis.json"
	dumpBlock       = "block.bin"
	dumpParent      = "parent.bin"
	dumpReads       = "reads.bin"
	dumpCertificate = "certificate.bin"
	dumpOther       = "other-certificate.bin"
)

// DumpReport is what a dump says in words: of a block that this node cannot execute, of an outcome that differs from the
// certified one, or of two certificates that contradict each other.
type DumpReport struct {
	Kind      string           `json:"kind"` // "execution failed", "outcomes differ" or "conflict"
	Time      time.Time        `json:"time"`
	Version   string           `json:"version"`
	ChainID   string           `json:"chainId"`
	Height    consensus.Height `json:"height"`
	Round     consensus.Round  `json:"round"`
	Block     string           `json:"block"`
	Error     string           `json:"error"`
	Stack     string           `json:"stack,omitempty"`
	Again     string           `json:"again,omitempty"` // how the second execution ended, by which the reads were found
	Ours      *DumpedOutcome   `json:"ours,omitempty"`
	Certified *DumpedOutcome   `json:"certified,omitempty"`
	Truncated bool             `json:"truncated,omitempty"` // not everything that was read is in the dump
	Culprits  []string         `json:"culprits,omitempty"`
}

// DumpedOutcome is what executing a block led to.
type DumpedOutcome struct {
	StateRoot    string `json:"stateRoot"`
	ReceiptsRoot string `json:"receiptsRoot"`
	HistoryRoot  string `json:"historyRoot,omitempty"`
}

func outcomeOf(i consensus.BlockInfo) *DumpedOutcome {
	return &DumpedOutcome{StateRoot: i.StateRoot.String(), ReceiptsRoot: i.ReceiptsRoot.String(), HistoryRoot: i.HistoryRoot.String()}
}

const dumpReadmeText = `A Cairn node stopped here because going on was not safe. report.json says why.

  block.bin, parent.bin    the block, and its parent with the outcome it had (canonical bytes)
  reads.bin                every key that executing the block read, with its value
  certificate.bin          the quorum certificate in question, when there is one
  genesis.json             of the chain

To see it again, anywhere, with any version:  cairn replay .
Send this folder to those who maintain the chain. It holds no keys of this node.
`

// dump is a dump in the making.
type dump struct {
	report DumpReport
	files  map[string][]byte
}

// dumpOf makes a dump of an error that ended the node; nil when the error is of another kind.
func dumpOf(err error) *dump {
	var (
		failure  *engine.ExecutionFailure
		diverged *engine.DivergedExecution
		bare     *core.Divergence
		conflict *core.Conflict
	)
	d := &dump{report: DumpReport{Error: err.Error()}, files: map[string][]byte{}}
	switch {
	case errors.As(err, &failure):
		d.report.Kind, d.report.Stack = "execution failed", string(failure.Stack)
		d.report.Again = "it succeeded"
		if failure.Again != nil {
			d.report.Again = failure.Again.Error()
		}
		d.execution(failure.Execution)
	case errors.As(err, &diverged):
		d.execution(diverged.Execution)
		d.divergence(diverged.Divergence)
	case errors.As(err, &bare):
		d.divergence(bare)
	case errors.As(err, &conflict):
		d.report.Kind, d.report.Round, d.report.Height = "conflict", conflict.Second.Round(), conflict.Second.Block().Height
		d.report.Block = conflict.Second.Block().ID.String()
		d.files[dumpCertificate], d.files[dumpOther] = conflict.First.Encode(), conflict.Second.Encode()
		for _, o := range conflict.Culprits {
			d.report.Culprits = append(d.report.Culprits, fmt.Sprintf("%s: %s", o.Signer, o.Broken))
		}
	default:
		return nil
	}
	return d
}

func (d *dump) execution(e engine.Execution) {
	d.report.Height, d.report.Round, d.report.Block = e.Block.Height, e.Block.Round, e.Block.ID().String()
	d.report.Truncated = e.Truncated
	d.files[dumpBlock] = e.Block.Encode()
	if !e.Parent.IsNone() {
		d.files[dumpParent], d.files[dumpReads] = e.Parent.Encode(), encodeReads(e.Reads)
	}
}

func (d *dump) divergence(e *core.Divergence) {
	d.report.Kind, d.report.Height, d.report.Round, d.report.Block = "outcomes differ", e.Certified.Height, e.Certified.Round, e.Certified.ID.String()
	d.report.Certified = outcomeOf(e.Certified)
	if !e.Ours.IsNone() {
		d.report.Ours = outcomeOf(e.Ours)
	}
	if e.Certificate != nil {
		d.files[dumpCertificate] = e.Certificate.Encode()
	}
}

func encodeReads(reads []engine.Read) []byte {
	w := canonical.NewWriter(1 << 16)
	w.Uint32(uint32(len(reads)))
	for _, r := range reads {
		w.VarBytes(r.Key)
		w.Bool(r.Value != nil)
		if r.Value != nil {
			w.VarBytes(r.Value)
		}
	}
	return w.Bytes()
}

// maxDumpedReads bounds the number of reads in a dump that is decoded.
const maxDumpedReads = engine.MaxReadBytes / 8

func decodeReads(b []byte) (map[string][]byte, error) {
	r := canonical.NewReader(b)
	count := r.Uint32()
	reads := map[string][]byte{}
	for i := uint32(0); i < min(count, maxDumpedReads) && r.Err() == nil; i++ {
		key := string(r.VarBytes(engine.MaxReadBytes))
		reads[key] = nil
		if r.Bool() {
			reads[key] = append([]byte{}, r.VarBytes(engine.MaxReadBytes)...)
		}
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", dumpReads, err)
	}
	return reads, nil
}

// DumpsDir is the folder of what a node leaves behind when it stops because of a block.
func (h Home) DumpsDir() string { return h.path("dumps") }

// write makes the folder, and returns its path. What another stop at the same block left stays as it is.
func (d *dump) write(h Home) (string, error) {
	name := fmt.Sprintf("height-%d-%.8s", d.report.Height, d.report.Block)
	if d.report.Kind == "conflict" {
		name = fmt.Sprintf("conflict-round-%d-%.8s", d.report.Round, d.report.Block)
	}
	path := filepath.Join(h.DumpsDir(), name)
	if _, err := os.Stat(filepath.Join(path, dumpReport)); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	report, err := json.MarshalIndent(d.report, "", "  ")
	if err != nil {
		return "", err
	}
	genesis, err := os.ReadFile(h.GenesisFile())
	if err != nil {
		return "", err
	}
	d.files[dumpReadme], d.files[dumpGenesis] = []byte(dumpReadmeText), genesis
	for _, file := range []string{dumpBlock, dumpParent, dumpReads, dumpCertificate, dumpOther, dumpGenesis, dumpReadme} {
		if content, ok := d.files[file]; ok {
			if err := newfile.Replace(filepath.Join(path, file), content, 0o600); err != nil {
				return "", err
			}
		}
	}
	// The report comes last: with it the dump is whole.
	return path, newfile.Replace(filepath.Join(path, dumpReport), append(report, '\n'), 0o600)
}

// PoisonError is an end of a node that would come again at the next start: a block cannot be executed here, its certified
// outcome differs from ours, or certificates contradict each other.
type PoisonError struct {
	Dump   string           // the folder of what is needed to see it again; empty when it could not be written
	height consensus.Height // of the block
	err    error
}

// Error says what happened, where the dump is, and what to do with it.
func (p *PoisonError) Error() string {
	if p.Dump == "" {
		return p.err.Error()
	}
	return fmt.Sprintf("%v\nwhat is needed to see it again is in %s; cairn replay %s", strings.TrimSpace(p.err.Error()), p.Dump, p.Dump)
}

// Unwrap returns what happened.
func (p *PoisonError) Unwrap() error { return p.err }

// keepDump leaves a dump of an error that ended the node, if it is one for which there are dumps.
func (n *Node) keepDump(err error) error {
	d := dumpOf(err)
	if d == nil {
		return err
	}
	d.report.Time, d.report.Version, d.report.ChainID = time.Now().UTC(), ThisBuild().Version, n.genesis.ChainID
	path, failed := d.write(n.opts.Home)
	poison := &PoisonError{Dump: path, height: d.report.Height, err: err}
	n.log.Error("the node stops: going on is not safe", "error", err, "dump", path)
	if failed != nil && !errors.Is(failed, fs.ErrExist) {
		poison.Dump = ""
		return errors.Join(poison, fmt.Errorf("its dump could not be written: %w", failed))
	}
	return poison
}
