package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/cairnchain/cairn/api/cairn/peer/v1"
	"github.com/cairnchain/cairn/consensus"
)

func TestWrongKeyAtAnAddress(t *testing.T) {
	c := newCluster(t, 2)
	a, b := c.members[0], c.members[1]
	a.config.Peers[0].Key = otherKey().Public()
	c.run()
	n := noted(t, a, func(n Refused) bool { return n.Peer == b.config.Self })
	var wrong *IdentityError
	if !errors.As(n.Reason, &wrong) || wrong.Want != otherKey().Public().String() || wrong.Got != b.config.Key.Public().String() {
		t.Errorf("%v", n.Reason)
	}
	// The other way round b is a stranger to a.
	stranger := noted(t, a, func(StrangerRefused) bool { return true })
	if !errors.As(stranger.Reason, &wrong) || wrong.Want != ofSet || wrong.Got != b.config.Key.Public().String() {
		t.Errorf("%v", stranger.Reason)
	}
	noted(t, b, func(n Down) bool { return n.Peer == a.config.Self })
	if len(a.node.connected)+len(b.node.connected) != 0 {
		t.Error("somebody connected")
	}
}

func TestStrangersDoNotGetPastTLS(t *testing.T) {
	c := newCluster(t, 2)
	c.run()
	c.connect()
	m := c.members[0]
	good, err := newIdentity(c.key(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := newIdentity(otherKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct {
		change func(*tls.Config)
		passes bool
	}{
		"a validator":              {func(*tls.Config) {}, true},
		"a foreign key":            {func(g *tls.Config) { g.Certificates[0] = foreign.certificate }, false},
		"no certificate":           {func(g *tls.Config) { g.Certificates = nil }, false},
		"TLS 1.2":                  {func(g *tls.Config) { g.MinVersion, g.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, false},
		"a key that is no Ed25519": {func(g *tls.Config) { g.Certificates[0] = ecdsaCertificate(t) }, false},
		"two certificates": {func(g *tls.Config) {
			g.Certificates[0].Certificate = append(g.Certificates[0].Certificate[:1:1], foreign.certificate.Certificate[0])
		}, false},
		"a validator's certificate without its key": {func(g *tls.Config) {
			g.Certificates[0].PrivateKey = foreign.certificate.PrivateKey
		}, false},
	} {
		config := good.config(nil)
		config.NextProtos = []string{"h2"}
		change.change(config)
		passes := func() bool {
			conn, err := tls.Dial("tcp", m.config.Listener.Addr().String(), config)
			if err != nil {
				return false
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(patienceOfTests)); err != nil {
				t.Fatal(err)
			}
			// In TLS 1.3 a client learns with its first read whether it was let in: the server's HTTP/2 settings.
			if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
				return false
			}
			_, err = conn.Read(make([]byte, 1))
			return err == nil
		}()
		if passes != change.passes {
			t.Errorf("%s: passes %v", name, passes)
		}
	}
	noted(t, m, func(StrangerRefused) bool { return true })
}

func ecdsaCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestAnotherChainIsRefused(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"chain id":     func(g *Config) { g.ChainID = "other-chain" },
		"genesis hash": func(g *Config) { g.Genesis[0] ^= 1 },
	} {
		t.Run(field, func(t *testing.T) {
			c := newCluster(t, 2)
			a, b := c.members[0], c.members[1]
			change(&b.config)
			c.run()
			for _, m := range []*member{a, b} {
				var first, second HandshakeError
				for _, e := range []*HandshakeError{&first, &second} {
					var disagreement *HandshakeError
					if n := noted(t, m, func(Refused) bool { return true }); !errors.As(n.Reason, &disagreement) {
						t.Fatalf("%v", n.Reason)
					}
					*e = *disagreement
				}
				if first.Field != field || first.Ours == first.Theirs || first != second {
					t.Errorf("%+v, %+v", first, second)
				}
				until(t, "an attempt", func() bool { return m.network.Peers()[0].LastError != "" })
				if s := m.network.Peers()[0]; s.Connected || s.Inbound || s.Score == 0 || !strings.Contains(s.LastError, field) {
					t.Errorf("%+v", s)
				}
				if len(m.node.connected) != 0 {
					t.Error("connected")
				}
			}
		})
	}
}

// What a handshake may get wrong, and what the other side is told.
func TestHandshakeFields(t *testing.T) {
	c := newCluster(t, 2)
	c.run(0)
	for name, test := range map[string]struct {
		change func(*peerv1.Handshake)
		want   string // in the status; empty: accepted
	}{
		"as it must be":       {func(*peerv1.Handshake) {}, ""},
		"version 1":           {func(h *peerv1.Handshake) { h.ProtocolVersion = 1 }, "protocol version: ours is 2, theirs is 1"},
		"version 3":           {func(h *peerv1.Handshake) { h.ProtocolVersion = 3 }, "protocol version: ours is 2, theirs is 3"},
		"no chain":            {func(h *peerv1.Handshake) { h.ChainId = "" }, `chain id: ours is "test-chain", theirs is ""`},
		"a very long chain":   {func(h *peerv1.Handshake) { h.ChainId = strings.Repeat("x", 1<<20) }, `theirs is "` + strings.Repeat("x", shown) + `"`},
		"a line in the chain": {func(h *peerv1.Handshake) { h.ChainId = "a\nb" }, `theirs is "a\nb"`},
		"no genesis":          {func(h *peerv1.Handshake) { h.GenesisHash = nil }, "theirs is empty"},
		"a long genesis":      {func(h *peerv1.Handshake) { h.GenesisHash = append(h.GenesisHash, 0) }, "genesis hash: ours is "},
		"another validator": {func(h *peerv1.Handshake) { h.ValidatorId = c.members[0].config.Self[:] },
			"validator id: ours is " + c.committee.ID(1).String() + ", theirs is " + c.committee.ID(0).String()},
	} {
		i := c.intrude(1, 0)
		test.change(i.hello)
		stream := i.greet(consensusChannel) // ours comes in any case
		if test.want == "" {
			if err := stream.SendMsg(encodeMessage(c.vote(1, 1))); err != nil {
				t.Fatal(err)
			}
			next(t, c.members[0].node.messages, "the vote")
			continue
		}
		err := i.end(stream, consensusChannel)
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// A member that is answered by another chain, or with nonsense, refuses as well; the answer is bounded.
func TestAnswersAreChecked(t *testing.T) {
	c := newCluster(t, 2)
	network, err := New(c.members[0].config, c.members[0].node)
	if err != nil {
		t.Fatal(err)
	}
	var disagreement *HandshakeError
	theirs := network.hello()
	if err := network.checkHello(theirs, c.committee.ID(1)); !errors.As(err, &disagreement) || disagreement.Field != "validator id" {
		t.Errorf("%v", err)
	}
	theirs.ValidatorId = append([]byte(nil), c.members[1].config.Self[:]...)
	if err := network.checkHello(theirs, c.committee.ID(1)); err != nil {
		t.Error(err)
	}
	if err := network.checkHello(nil, consensus.ValidatorID{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
}
