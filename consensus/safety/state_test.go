package safety_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical/canonicaltest"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/safety"
)

// fullState has every field set, certificates included.
func fullState() safety.State {
	c := consensustest.New(1, 1, 1, 1)
	b := c.Block(c.GenesisQC(), 1, nil, "x", "y")
	qc := c.QC(c.Data(b), 0, 1, 2)
	next := c.Block(qc, 2, nil)
	tc := c.TC(3, qc, qc, c.GenesisQC(), nil)
	return safety.State{
		Epoch: epoch, LastVoted: 4, LastProposed: 2, Locked: 1,
		LastVote:     &consensus.Vote{Data: c.Data(next)},
		LastTimeout:  &consensus.Timeout{Round: 4, QC: qc, TC: tc, Vote: &consensus.Vote{Data: c.Data(next)}},
		LastProposal: next.ID(),
	}
}

// TestEncodeGolden pins the bytes of the safety record's content: they are on disks.
func TestEncodeGolden(t *testing.T) {
	for name, c := range map[string]struct {
		state safety.State
		want  string
	}{
		"initial": {safety.Initial(epoch), "b730dc64dbb13910eb0422dbbc75892f7b9fb8391ae0ed7e5c7e125341db588e"},
		"full":    {fullState(), "04309a93d880faad052e00243b9e25ea1aa006053c066bbd61ded1b384613692"},
	} {
		sum := sha256.Sum256(c.state.Encode())
		if got := hex.EncodeToString(sum[:]); got != c.want {
			t.Errorf("%s: SHA-256 of the encoding is %s, want %s", name, got, c.want)
		}
	}
}

func TestDecodeRoundTrip(t *testing.T) {
	voteOnly, timeoutOnly := fullState(), fullState()
	voteOnly.LastTimeout, timeoutOnly.LastVote = nil, nil
	for i, s := range []safety.State{safety.Initial(7), fullState(), voteOnly, timeoutOnly} {
		got, err := safety.Decode(s.Encode())
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if !bytes.Equal(got.Encode(), s.Encode()) || got.Epoch != s.Epoch || got.LastVoted != s.LastVoted || got.Locked != s.Locked ||
			got.LastProposed != s.LastProposed || got.LastProposal != s.LastProposal ||
			(got.LastVote == nil) != (s.LastVote == nil) || (got.LastTimeout == nil) != (s.LastTimeout == nil) {
			t.Errorf("%d: %+v came back as %+v", i, s, got)
		}
	}
}

// TestDecodeRefuses: truncated at every length, longer, or with a presence byte that is neither 0 nor 1.
func TestDecodeRefuses(t *testing.T) {
	raw := fullState().Encode()
	for n := range raw {
		if _, err := safety.Decode(raw[:n]); !errors.Is(err, consensus.ErrMalformed) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(raw), err)
		}
	}
	if _, err := safety.Decode(append(bytes.Clone(raw), 0)); !errors.Is(err, consensus.ErrMalformed) {
		t.Errorf("one byte more: %v", err)
	}
	presence := bytes.Clone(safety.Initial(epoch).Encode())
	presence[len(presence)-1] = 2
	if _, err := safety.Decode(presence); !errors.Is(err, consensus.ErrMalformed) {
		t.Errorf("presence byte 2: %v", err)
	}
}

// FuzzDecode: whatever is on the disk, no panic, and what decodes encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add(fullState().Encode())
	f.Add(safety.Initial(epoch).Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := safety.Decode(raw)
		if err != nil {
			if !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(s.Encode(), raw) {
			t.Fatal("two encodings of one state")
		}
	})
}

// TestDecodeAllocatesLittle: lengths in the record are not believed.
func TestDecodeAllocatesLittle(t *testing.T) {
	canonicaltest.Bounded(t, "FuzzDecode", [][]byte{fullState().Encode(), safety.Initial(epoch).Encode()}, func(raw []byte) {
		_, _ = safety.Decode(raw)
	})
}
