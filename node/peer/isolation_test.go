package peer

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/consensustest"
	"github.com/cairnchain/cairn/consensus/signature"
)

// recorder is a TLS key that keeps what it signed last.
type recorder struct {
	ed25519.PrivateKey
	message, signature []byte
}

func (r *recorder) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	r.message = bytes.Clone(message)
	r.signature, err = r.PrivateKey.Sign(random, message, opts)
	return r.signature, err
}

// handshakes makes one TLS connection between two ends with the same key and returns what each of them signed.
func handshakes(t *testing.T, key signature.PrivateKey) (dialled, accepted *recorder) {
	t.Helper()
	own, err := newIdentity(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	end := func() (*recorder, *tls.Config) {
		r := &recorder{PrivateKey: own.certificate.PrivateKey.(ed25519.PrivateKey)}
		i := *own
		i.certificate.PrivateKey = r
		return r, i.config(func(tls.ConnectionState) error { return nil })
	}
	dialled, out := end()
	accepted, in := end()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(b, in).Handshake() }()
	client := tls.Client(a, out)
	err = client.Handshake()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	_, _ = a.Close(), b.Close()
	return dialled, accepted
}

// place is where something is signed: a chain in an epoch.
type place struct {
	name string
	*consensustest.Committee
}

// places are all combinations of two chain ids, genesis hashes, commit rules and epochs.
func places(c *consensustest.Committee) (out []place) {
	for bits := range 16 {
		other := *c
		if bits&1 != 0 {
			other.Domain.ChainID += "x"
		}
		if bits&2 != 0 {
			other.Domain.Genesis[0] ^= 1
		}
		if bits&4 != 0 {
			other.Domain.Rule = consensus.ThreeChain
		}
		if bits&8 != 0 {
			other.Domain.Epoch++
			other.Root.Epoch++
		}
		out = append(out, place{fmt.Sprintf("%04b", bits), &other})
	}
	return out
}

// claim is a kind of thing that a validator's key signs, somewhere: what was signed, and whether another signature holds
// in its place.
type claim struct {
	kind, place string
	chainID     string
	signature   signature.Signature
	holds       func(signature.Signature) bool
}

// claimsOf are a vote, a timeout, a proposal and a transaction of one key in one place.
func claimsOf(p place, key signature.PrivateKey) []claim {
	b := p.Block(p.GenesisQC(), 1, func(h *consensus.Header) { h.Proposer = p.ID(0) })
	vote, timeout, proposal := p.Vote(0, p.Data(b)), p.Timeout(0, 1, p.GenesisQC(), nil), p.Proposal(b, nil)
	v := p.Verifier()
	account := ledger.AddressOf(key.Public())
	body, err := (&ledger.Body{ChainID: p.Domain.ChainID, Sender: account, Outputs: []ledger.Output{{To: account, Amount: 1}}}).Encode(ledger.DefaultPrefix)
	if err != nil {
		panic(err)
	}
	tx := ledger.Sign(key, body)
	return []claim{
		{"vote", p.name, p.Domain.ChainID, vote.Signature, func(s signature.Signature) bool {
			m := *vote
			m.Signature = s
			_, err := v.Vote(&m)
			return err == nil
		}},
		{"timeout", p.name, p.Domain.ChainID, timeout.Signature, func(s signature.Signature) bool {
			m := *timeout
			m.Signature = s
			_, err := v.Timeout(&m)
			return err == nil
		}},
		{"proposal", p.name, p.Domain.ChainID, proposal.Signature, func(s signature.Signature) bool {
			m := *proposal
			m.Signature = s
			_, err := v.Proposal(&m)
			return err == nil
		}},
		{"transaction", p.name, p.Domain.ChainID, tx.Signature, func(s signature.Signature) bool {
			return p.Scheme.Verify([]signature.Item{{Key: key.Public(), Message: ledger.SigningBytes(body), Signature: s}})
		}},
	}
}

// TestSignaturesAreOfOneKind: a signature by a validator's key of any kind on one chain holds for nothing else: the
// matrix of all pairs is the identity. Of what names no chain, or only its id, each says so.
//
// A transaction is bound to the chain by the id in its body alone (not by the genesis hash, which wallets need not
// know), so it holds on every chain of that id. TLS proofs are bound to their connection, certificates to the key.
func TestSignaturesAreOfOneKind(t *testing.T) {
	c := consensustest.NewEd25519(1)
	key := c.Identity(0).Signer.(signature.PrivateKey)
	var claims []claim
	for _, p := range places(c) {
		claims = append(claims, claimsOf(p, key)...)
	}
	raw := func(kind, place string, message, sig []byte) {
		claims = append(claims, claim{kind, place, "", signature.Signature(sig), func(s signature.Signature) bool {
			return c.Scheme.Verify([]signature.Item{{Key: key.Public(), Message: message, Signature: s}})
		}})
	}
	for i := range 2 {
		dialled, accepted := handshakes(t, key)
		raw("TLS", fmt.Sprint("dialled ", i), dialled.message, dialled.signature)
		raw("TLS", fmt.Sprint("accepted ", i), accepted.message, accepted.signature)
	}
	own, err := newIdentity(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(own.certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	raw("certificate", "", certificate.RawTBSCertificate, certificate.Signature)

	kinds := map[string]int{}
	for _, of := range claims {
		kinds[of.kind]++
		for _, as := range claims {
			want := of.kind == as.kind && (of.place == as.place || of.kind == "transaction" && of.chainID == as.chainID)
			if got := as.holds(of.signature); got != want {
				t.Errorf("a signature of %s %s as %s %s: holds %v", of.kind, of.place, as.kind, as.place, got)
			}
		}
	}
	for kind, n := range map[string]int{"vote": 16, "timeout": 16, "proposal": 16, "transaction": 16, "TLS": 4, "certificate": 1} {
		if kinds[kind] != n {
			t.Errorf("%d claims of kind %s, want %d", kinds[kind], kind, n)
		}
	}
}

// TestTLSSignsNothingCanonical: what TLS makes the key sign does not begin like canonical bytes, whatever the other end
// sends: with the length of the kind's text, so with three zeros.
func TestTLSSignsNothingCanonical(t *testing.T) {
	key := consensustest.NewEd25519(1).Identity(0).Signer.(signature.PrivateKey)
	dialled, accepted := handshakes(t, key)
	own, err := newIdentity(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(own.certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(ledger.SigningBytes(nil), []byte{0, 0, 0}) {
		t.Error("canonical bytes begin otherwise")
	}
	for _, message := range [][]byte{dialled.message, accepted.message, certificate.RawTBSCertificate} {
		if slices.Contains(message[:3], 0) {
			t.Errorf("TLS signs %x…", message[:8])
		}
	}
}
