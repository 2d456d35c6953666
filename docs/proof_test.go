package docs_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// layout writes the fields of a block on the page in its order. Each line is a size, or "text", and a name.
func layout(t *testing.T, block string, fields map[string][]byte) []byte {
	t.Helper()
	var out []byte
	for line := range strings.SplitSeq(block, "\n") {
		cells := strings.Fields(line)
		value, ok := fields[cells[1]]
		if !ok {
			t.Fatalf("what is %q?", cells[1])
		}
		delete(fields, cells[1])
		if cells[0] == "text" {
			value = text(string(value))
		} else if n := number(t, cells[0]); n != uint64(len(value)) {
			t.Errorf("%s has %d bytes, the page says %d", cells[1], len(value), n)
		}
		out = append(out, value...)
	}
	if len(fields) != 0 {
		t.Errorf("the page leaves out %v", fields)
	}
	return out
}

func big64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func infoBytes(t *testing.T, p page, b consensus.BlockInfo) []byte {
	t.Helper()
	return layout(t, p.only(t, "text info"), map[string][]byte{
		"epoch": big64(uint64(b.Epoch)), "round": big64(uint64(b.Round)), "id": b.ID[:], "height": big64(uint64(b.Height)),
		"stateRoot": b.StateRoot[:], "receiptsRoot": b.ReceiptsRoot[:], "historyRoot": b.HistoryRoot[:],
		"timestamp": big64(uint64(b.Timestamp)), "nextValidatorsHash": b.NextValidators[:],
	})
}

// A signature made over the bytes that the page describes makes a certificate that consensus accepts.
func TestVoteBytes(t *testing.T) {
	for rule, below := range map[consensus.CommitRule]byte{consensus.TwoChain: 1, consensus.ThreeChain: 2} {
		t.Run(rule.String(), func(t *testing.T) { voteBytes(t, rule, 8-below) })
	}
}

// voteBytes certifies block 8 on block 7, which commits another.
func voteBytes(t *testing.T, rule consensus.CommitRule, commits byte) {
	p := readPage(t, "API.md")
	info := func(n byte) consensus.BlockInfo {
		return consensus.BlockInfo{
			Epoch: 1, Round: consensus.Round(40 + n), ID: consensus.Hash{n, 1}, Height: consensus.Height(n),
			StateRoot: consensus.Hash{n, 2}, ReceiptsRoot: consensus.Hash{n, 3}, HistoryRoot: consensus.Hash{n, 4},
			Timestamp: 1767225600000 + consensus.Timestamp(n),
		}
	}
	data := consensus.VoteData{Block: info(8), Parent: info(7), Commit: info(commits)}
	domain := consensus.Domain{ChainID: "devnet-1f0a3c", Genesis: consensus.Hash{9}, Rule: rule, Epoch: 1}
	block, parent, commit := infoBytes(t, p, data.Block), infoBytes(t, p, data.Parent), infoBytes(t, p, data.Commit)
	signing := layout(t, p.only(t, "text vote"), map[string][]byte{
		"domain": []byte("cairn/vote/v1"), "chainId": []byte(domain.ChainID), "genesisHash": domain.Genesis[:],
		"commitRule": {byte(domain.Rule)}, "epoch": big64(uint64(domain.Epoch)), "block": block, "parent": parent,
		"commit-present": {1}, "commit": commit,
	})

	seed := [signature.SeedSize]byte(bytes.Repeat([]byte{5}, signature.SeedSize))
	private := ed25519.NewKeyFromSeed(seed[:])
	key := signature.PublicKey(private.Public().(ed25519.PublicKey))
	member := consensus.Validator{ID: consensus.IDOf(key), Name: "node0", Key: key, Power: 1}
	set, err := consensus.NewValidatorSet([]consensus.Validator{member})
	if err != nil {
		t.Fatal(err)
	}
	verifier := consensus.Verifier{Domain: domain, Set: set, Scheme: signature.NewEd25519()}
	sign := func(message []byte) *consensus.QC {
		return consensus.NewQC(data, []consensus.SignedBy{
			{Signer: member.ID, Signature: signature.Signature(ed25519.Sign(private, message))},
		})
	}
	if _, err := verifier.QC(sign(signing)); err != nil {
		t.Error(err)
	}
	if _, err := verifier.QC(sign(signing[1:])); err == nil {
		t.Error("a certificate over other bytes passes")
	}
}

// Signatures made over the bytes that the page describes are evidence that consensus accepts, of each kind.
func TestEvidenceBytes(t *testing.T) {
	p := readPage(t, "API.md")
	seed := [signature.SeedSize]byte(bytes.Repeat([]byte{5}, signature.SeedSize))
	private := ed25519.NewKeyFromSeed(seed[:])
	key := signature.PublicKey(private.Public().(ed25519.PublicKey))
	member := consensus.Validator{ID: consensus.IDOf(key), Name: "node0", Key: key, Power: 1}
	set, err := consensus.NewValidatorSet([]consensus.Validator{member})
	if err != nil {
		t.Fatal(err)
	}
	domain := consensus.Domain{ChainID: "devnet-1f0a3c", Genesis: consensus.Hash{9}, Rule: consensus.TwoChain, Epoch: 1}
	verifier := consensus.Verifier{Domain: domain, Set: set, Scheme: signature.NewEd25519()}
	sign := func(kind string, what []byte) (sig signature.Signature) {
		message := layout(t, p.only(t, "text statement"), map[string][]byte{
			"domain": []byte(kind), "chainId": []byte(domain.ChainID), "genesisHash": domain.Genesis[:],
			"commitRule": {byte(domain.Rule)}, "epoch": big64(uint64(domain.Epoch)),
		})
		copy(sig[:], ed25519.Sign(private, append(message, what...)))
		return sig
	}
	place := consensus.EvidenceKey{Epoch: 1, Round: 47, Signer: member.ID}
	header := func(height uint64) []byte {
		return layout(t, p.only(t, "text header"), map[string][]byte{
			"epoch": big64(1), "round": big64(47), "height": big64(height), "parentId": bytes.Repeat([]byte{1}, 32),
			"parentRound": big64(46), "parentStateRoot": bytes.Repeat([]byte{2}, 32), "payloadRoot": bytes.Repeat([]byte{3}, 32),
			"timestamp": big64(1767225600000), "proposer": member.ID[:], "skipped": nil,
		})
	}
	vote := func(height uint64) []byte {
		return append(voteContent(t, p, height), 0)
	}
	timeout := func(qcRound uint64) []byte {
		return layout(t, p.only(t, "text timeout"), map[string][]byte{"round": big64(47), "qcRound": big64(qcRound)})
	}
	for kind, content := range map[consensus.EvidenceKind]func(uint64) []byte{
		consensus.ProposalEvidence: header, consensus.VoteEvidence: vote, consensus.TimeoutEvidence: timeout,
	} {
		statement := func(n uint64) consensus.Statement {
			s := consensus.Statement{EvidenceKey: place, Content: content(n)}
			s.Kind = kind
			what := s.Content
			if kind == consensus.ProposalEvidence {
				id := sha256.Sum256(append(text("cairn/block/v1"), s.Content...))
				what = id[:]
			}
			s.Signature = sign("cairn/"+kind.String()+"/v1", what)
			return s
		}
		evidence, ok := consensus.NewEvidence(statement(7), statement(8))
		if !ok {
			t.Fatalf("%v: no evidence", kind)
		}
		if _, err := verifier.Evidence(evidence); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
		wanted := map[consensus.EvidenceKind]string{consensus.ProposalEvidence: "cairn/block/v1", consensus.VoteEvidence: "cairn/vote-data/v1"}[kind]
		if wanted != "" && consensus.Hash(sha256.Sum256(append(text(wanted), evidence.First.Content...))) != evidence.HashOf(evidence.First) {
			t.Errorf("%v: its hash is another than the page says", kind)
		}
	}
}

// voteContent is the block and the parent of a vote of round 47.
func voteContent(t *testing.T, p page, height uint64) []byte {
	info := func(round consensus.Round, height uint64) []byte {
		return infoBytes(t, p, consensus.BlockInfo{Epoch: 1, Round: round, ID: consensus.Hash{1}, Height: consensus.Height(height)})
	}
	return append(info(47, height), info(40, height-1)...)
}
