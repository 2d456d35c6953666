//go:build e2e

// Package record writes down what a validator received, for end-to-end tests: who signed what in which round. It exists
// only in builds with the tag e2e.
package record

import (
	"fmt"
	"os"
	"sync"

	"github.com/cairnchain/cairn/consensus"
)

// Kind is what was signed.
type Kind string

// The kinds. What a line says of the content: a proposal's block id, the digest of the vote data, the round of the
// timeout's QC in hex. Two contents of one kind, signer, epoch and round are two signatures where one is allowed.
const (
	Proposal Kind = "proposal"
	Vote     Kind = "vote"
	Timeout  Kind = "timeout"
)

// Line is one signature that was verified by whoever received it.
type Line struct {
	Kind    Kind
	Signer  string // 40 hex digits
	Epoch   uint64
	Round   uint64
	Content string // 64 hex digits
}

// String is the line as it stands in the file, in columns of fixed width, without the line feed.
func (l Line) String() string {
	return fmt.Sprintf("%-8s %40s %20d %20d %64s", l.Kind, l.Signer, l.Epoch, l.Round, l.Content)
}

// Parse reads what String wrote.
func Parse(text string) (Line, error) {
	var l Line
	if _, err := fmt.Sscan(text, &l.Kind, &l.Signer, &l.Epoch, &l.Round, &l.Content); err != nil {
		return Line{}, fmt.Errorf("line %q: %w", text, err)
	}
	if l.String() != text {
		return Line{}, fmt.Errorf("line %q is not in its columns", text)
	}
	return l, nil
}

// rememberedLines is how many lines a Recorder knows that it wrote, so that certificates, which travel again and again,
// do not fill the file. What it forgets is written once more.
const rememberedLines = 1 << 14

// Recorder appends to one file. Safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	file    *os.File
	written map[Line]struct{}
}

// Create makes the file, which must not exist: each life of a process has its own, as the last line may be torn.
func Create(path string) (*Recorder, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &Recorder{file: file, written: map[Line]struct{}{}}, nil
}

// Received writes down every signature in a verified message, those inside its certificates included, before it returns;
// one write per line, so that nothing is lost when the process is killed. It panics when it cannot write.
func (r *Recorder) Received(_ consensus.ValidatorID, m *consensus.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := m.Proposal; p != nil {
		r.write(Line{Proposal, p.Block.Proposer.String(), uint64(p.Block.Epoch), uint64(p.Block.Round), p.Block.ID().String()})
		r.qc(p.Block.QC)
		r.tc(p.TC)
	}
	if c := m.Compact; c != nil {
		r.write(Line{Proposal, c.Proposer.String(), uint64(c.Epoch), uint64(c.Round), c.ID().String()})
		r.qc(c.QC)
		r.tc(c.TC)
	}
	r.vote(m.Vote)
	if t := m.Timeout; t != nil {
		r.timeout(t.Signer, t.QC.Block().Epoch, t.Round, t.QC.Round())
		r.vote(t.Vote)
		r.qc(t.QC)
		r.tc(t.TC)
	}
	if s := m.Sync; s != nil {
		r.qc(s.HighQC)
		r.qc(s.CommitQC)
		r.tc(s.TC)
	}
}

func (r *Recorder) vote(v *consensus.Vote) {
	if v != nil {
		r.write(Line{Vote, v.Signer.String(), uint64(v.Data.Block.Epoch), uint64(v.Round()), v.Data.Digest().String()})
	}
}

func (r *Recorder) timeout(signer consensus.ValidatorID, epoch consensus.Epoch, round, qcRound consensus.Round) {
	r.write(Line{Timeout, signer.String(), uint64(epoch), uint64(round), fmt.Sprintf("%064x", uint64(qcRound))})
}

func (r *Recorder) qc(q *consensus.QC) {
	if q == nil || len(q.Signatures) == 0 {
		return
	}
	digest := q.Data.Digest().String()
	for _, s := range q.Signatures {
		r.write(Line{Vote, s.Signer.String(), uint64(q.Block().Epoch), uint64(q.Round()), digest})
	}
}

func (r *Recorder) tc(t *consensus.TC) {
	if t == nil {
		return
	}
	r.qc(t.HighQC)
	for _, p := range t.Timeouts {
		r.timeout(p.Signer, t.Epoch, t.Round, p.QCRound)
	}
}

func (r *Recorder) write(line Line) {
	if _, known := r.written[line]; known {
		return
	}
	if _, err := r.file.WriteString(line.String() + "\n"); err != nil {
		panic(fmt.Sprintf("record: %v", err))
	}
	if len(r.written) == rememberedLines {
		clear(r.written)
	}
	r.written[line] = struct{}{}
}
