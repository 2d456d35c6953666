package consensus_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
)

// fuzz: no input panics, every error is ErrMalformed, and what decodes encodes to the very input.
func fuzz(f *testing.F, name string) {
	for _, c := range codecs() {
		if c.name != name {
			continue
		}
		for _, raw := range c.samples {
			f.Add(raw)
		}
		f.Fuzz(func(t *testing.T, raw []byte) {
			again, _, err := c.again(raw)
			if err != nil && !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			if err == nil && !bytes.Equal(again, raw) {
				t.Fatalf("a second encoding: %x", again)
			}
		})
		return
	}
	f.Fatalf("no codec %q", name)
}

func FuzzDecodeBlockInfo(f *testing.F)       { fuzz(f, "block info") }
func FuzzDecodeBlock(f *testing.F)           { fuzz(f, "block") }
func FuzzDecodeVote(f *testing.F)            { fuzz(f, "vote") }
func FuzzDecodeQC(f *testing.F)              { fuzz(f, "quorum certificate") }
func FuzzDecodeTC(f *testing.F)              { fuzz(f, "timeout certificate") }
func FuzzDecodeTimeout(f *testing.F)         { fuzz(f, "timeout") }
func FuzzDecodeProposal(f *testing.F)        { fuzz(f, "proposal") }
func FuzzDecodeSyncInfo(f *testing.F)        { fuzz(f, "sync info") }
func FuzzDecodeCompactProposal(f *testing.F) { fuzz(f, "compact proposal") }
func FuzzDecodeHistory(f *testing.F)         { fuzz(f, "history") }

// FuzzParseText: a hash, a validator id and a commit rule each have one text.
func FuzzParseText(f *testing.F) {
	f.Add(consensus.Hash{1}.String())
	f.Add(consensus.ValidatorID{1}.String())
	for _, rule := range consensus.CommitRules() {
		f.Add(rule.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, errHash := consensus.ParseHash(text)
		id, errID := consensus.ParseValidatorID(text)
		rule, errRule := consensus.ParseCommitRule(text)
		for what, c := range map[string]struct {
			err   error
			again string
		}{"hash": {errHash, h.String()}, "validator id": {errID, id.String()}, "commit rule": {errRule, rule.String()}} {
			if c.err == nil && c.again != text || c.err != nil && !errors.Is(c.err, consensus.ErrMalformed) {
				t.Errorf("%s %q: %q, %v", what, text, c.again, c.err)
			}
		}
	})
}
