package follow_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/follow"
)

// Whatever an upstream sends, nothing is proven but the blocks that the validators have committed, and what is refused is
// a lie.
func FuzzCommit(f *testing.F) {
	w := newWorld(f, "fuzz", consensus.TwoChain)
	links := w.grow(w.root(), 2, "a")
	for _, l := range links {
		c := l.canonical()
		f.Add(c.Block, c.Certificate, c.Proof)
	}
	f.Add([]byte(nil), links[0].qc.Encode(), links[1].proof.Encode())
	f.Fuzz(func(t *testing.T, block, certificate, proof []byte) {
		got, err := follow.NewChecker(w.verifier, w.root().info).Take(follow.Canonical{Block: block, Certificate: certificate, Proof: proof})
		if err != nil && follow.FaultOf(err) != follow.Lie && !errors.Is(err, follow.ErrStopped) {
			t.Fatal(err)
		}
		for _, p := range got {
			if p.Block.ID() != links[0].info.ID || !bytes.Equal(p.Block.Encode(), block) {
				t.Fatalf("%v is proven", p.Block)
			}
		}
	})
}

// A certificate as the API shows it: what is read encodes, and never panics the verifier.
func FuzzReadQC(f *testing.F) {
	w := newWorld(f, "fuzz", consensus.TwoChain)
	for _, m := range []*cairnv1.QuorumCertificate{
		{}, {Block: &cairnv1.BlockInfo{Id: "ab"}}, {Signatures: []*cairnv1.QuorumCertificate_Signature{{Validator: "ab", Signature: "cd"}}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m cairnv1.QuorumCertificate
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		qc, err := follow.ReadQC(&m)
		if err != nil {
			return
		}
		if _, err := w.verifier.QC(qc); err == nil && qc.Round() > 0 { // that of genesis has no signatures
			t.Fatalf("%v verifies", qc)
		}
	})
}
