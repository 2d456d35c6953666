package consensus_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// recorder is a signer that keeps what it was asked to sign.
type recorder struct {
	signature.PrivateKey
	messages [][]byte
}

func (r *recorder) Sign(message []byte) signature.Signature {
	r.messages = append(r.messages, append([]byte(nil), message...))
	return r.PrivateKey.Sign(message)
}

// signed returns the bytes that are signed for a vote, a timeout and a proposal in this domain.
func signed(d consensus.Domain, b *consensus.Block, timeout *consensus.Timeout) (vote, timeoutBytes, proposal []byte) {
	r := &recorder{PrivateKey: signature.NewPrivateKey([signature.SeedSize]byte{1})}
	id := consensus.Identity{ID: consensus.IDOf(r.Public()), Domain: d, Signer: r}
	id.Vote(&consensus.Vote{Data: consensustest.Data(d.Rule, b)})
	id.Timeout(timeout)
	id.Proposal(&consensus.Proposal{Block: b})
	return r.messages[0], r.messages[1], r.messages[2]
}

// TestGolden pins every encoding that is signed, hashed or stored. A difference breaks every running chain: -rewrite
// is for a new version of a domain string only.
func TestGolden(t *testing.T) {
	c := consensustest.NewEd25519(1, 2, 3, 4)
	b1 := c.Block(c.GenesisQC(), 1, nil, "first", "second")
	qc := c.QC(c.Data(b1), 0, 2, 3)
	tc := c.TC(3, qc, nil, c.GenesisQC(), qc)
	b4 := c.Block(qc, 4, nil, "third")
	timeout := &consensus.Timeout{Round: 4, QC: qc, TC: tc}
	vote, timeoutBytes, proposal := signed(c.Domain, b4, timeout)
	key := signature.NewPrivateKey([signature.SeedSize]byte{1}).Public()
	id, genesis, data := consensus.IDOf(key), c.Genesis.Hash(), c.Data(b4)
	root := consensus.PayloadRoot(b1.Payload)
	history := consensus.History{}.Append(c.Root.Leaf()).Append(consensustest.Outcome(b1).Leaf()).Root()
	hash := func(h consensus.Hash) []byte { return h[:] }

	golden := map[string][]byte{
		"signed-vote":            vote,
		"signed-timeout":         timeoutBytes,
		"signed-proposal":        proposal,
		"validator-id":           id[:],
		"genesis-hash":           genesis[:],
		"genesis-block-id":       hash(c.Root.ID),
		"validator-set-hash":     hash(c.Set.Hash()),
		"block-id":               hash(b4.ID()),
		"vote-data-digest":       hash(data.Digest()),
		"payload-root":           root[:],
		"payload-root-empty":     hash(consensus.PayloadRoot(nil)),
		"history-root":           history[:],
		"encoded-block-info":     c.Root.Encode(),
		"encoded-block":          b4.Encode(),
		"encoded-vote":           c.Vote(0, data).Encode(),
		"encoded-qc":             qc.Encode(),
		"encoded-tc":             tc.Encode(),
		"encoded-timeout":        c.Timeout(1, 4, qc, tc).Encode(),
		"encoded-proposal":       c.Proposal(b4, tc).Encode(),
		"encoded-compact":        c.Proposal(b4, tc).Compact(nothing).Encode(),
		"encoded-compact-inline": c.Proposal(b4, tc).Compact(everything).Encode(),
		"encoded-evidence":       evidenceOf(c)[1].Encode(),
		"evidence-id":            hash(evidenceOf(c)[1].ID()),
		"encoded-sync-info":      (&consensus.SyncInfo{HighQC: qc, TC: tc}).Encode(),
		"encoded-sync-info-full": (&consensus.SyncInfo{HighQC: c.QC(data), CommitQC: qc, TC: c.TC(9, qc, qc, qc, qc)}).Encode(),
	}
	shown := map[string]bool{}
	datadriven.RunTest(t, "testdata/golden.txt", func(t *testing.T, d *datadriven.TestData) string {
		value, ok := golden[d.Cmd]
		if !ok {
			d.Fatalf(t, "no value %q", d.Cmd)
		}
		shown[d.Cmd] = true
		return show(value)
	})
	for name := range golden {
		if !shown[name] {
			t.Errorf("%s is not in testdata/golden.txt", name)
		}
	}
}

// show prints short values whole, of long ones the hash.
func show(value []byte) string {
	if len(value) > 1024 {
		return fmt.Sprintf("%d bytes, SHA-256 %x\n", len(value), sha256.Sum256(value))
	}
	var out strings.Builder
	for text := hex.EncodeToString(value); text != ""; {
		n := min(len(text), 96)
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return out.String()
}

// TestSigningLayout writes the signed bytes down once more, field by field, from docs alone.
func TestSigningLayout(t *testing.T) {
	c := consensustest.NewEd25519(1, 1, 1, 1)
	b := c.Block(c.GenesisQC(), 1, nil)
	qc := c.QC(c.Data(b))
	vote, timeout, proposal := signed(c.Domain, b, &consensus.Timeout{Round: 7, QC: qc})
	id := b.ID()
	rounds := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 7), 1)
	for name, pair := range map[string][2][]byte{
		"vote":     {vote, append(prefix(c.Domain, "cairn/vote/v1"), naiveVoteData(c.Data(b))...)},
		"timeout":  {timeout, append(prefix(c.Domain, "cairn/timeout/v1"), rounds...)},
		"proposal": {proposal, append(prefix(c.Domain, "cairn/proposal/v1"), id[:]...)},
	} {
		if string(pair[0]) != string(pair[1]) {
			t.Errorf("%s signs\n%x, want\n%x", name, pair[0], pair[1])
		}
	}
}

// prefix is what stands before the fields of everything signed.
func prefix(d consensus.Domain, kind string) []byte {
	var out []byte
	for _, s := range []string{kind, d.ChainID} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(s))), s...)
	}
	out = append(out, d.Genesis[:]...)
	out = append(out, byte(d.Rule))
	return binary.BigEndian.AppendUint64(out, uint64(d.Epoch))
}

func naiveVoteData(d consensus.VoteData) []byte {
	out := append(naiveInfo(d.Block), naiveInfo(d.Parent)...)
	if d.Commit == (consensus.BlockInfo{}) {
		return append(out, 0)
	}
	return append(append(out, 1), naiveInfo(d.Commit)...)
}

func naiveInfo(b consensus.BlockInfo) (out []byte) {
	number := func(v uint64) { out = binary.BigEndian.AppendUint64(out, v) }
	number(uint64(b.Epoch))
	number(uint64(b.Round))
	out = append(out, b.ID[:]...)
	number(uint64(b.Height))
	for _, root := range []consensus.Hash{b.StateRoot, b.ReceiptsRoot, b.HistoryRoot} {
		out = append(out, root[:]...)
	}
	number(uint64(b.Timestamp))
	return append(out, b.NextValidators[:]...)
}
