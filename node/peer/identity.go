package peer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/cairnchain/cairn/consensus/signature"
)

// IdentityError says that the other end of a connection has not the key that it must have.
type IdentityError struct {
	Want string // the key, or whose it may be
	Got  string // a key, or what came instead of one
}

// Error names both.
func (e *IdentityError) Error() string { return fmt.Sprintf("TLS key: want %s, got %s", e.Want, e.Got) }

// identity is our certificate and the keys of the others.
//
// The validator's key is its TLS key: TLS 1.3 signs under a context string that no canonical bytes begin with, so no
// signature of one kind is a signature of the other (RFC 8446, 4.4.3).
type identity struct {
	certificate tls.Certificate
	byKey       map[signature.PublicKey]*remote
}

func newIdentity(key signature.PrivateKey, remotes []*remote) (*identity, error) {
	seed := key.Seed()
	private := ed25519.NewKeyFromSeed(seed[:])
	// Nobody reads more of the certificate than its key: it has no name, and it does not expire (RFC 5280, 4.1.2.5).
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	i := &identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
		byKey:       make(map[signature.PublicKey]*remote, len(remotes)),
	}
	for _, r := range remotes {
		i.byKey[r.Key] = r
	}
	return i, nil
}

// config demands a certificate of the other end and gives it to verify. Chains and names are not looked at, and there
// are no session tickets, so every connection is verified on its own.
func (i *identity) config(verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{i.certificate},
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // in favour of verify
		SessionTicketsDisabled: true,
		VerifyConnection:       verify,
	}
}

// keyOf returns the key that the other end has proved to hold.
func keyOf(state tls.ConnectionState, want string) (signature.PublicKey, error) {
	if n := len(state.PeerCertificates); n != 1 {
		return signature.PublicKey{}, &IdentityError{want, fmt.Sprintf("%d certificates", n)}
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return signature.PublicKey{}, &IdentityError{want, "a key that is not Ed25519"}
	}
	return signature.PublicKey(key), nil
}

// dialing returns the credentials for one attempt to connect to a peer. When its key is another, mismatch says so.
func (i *identity) dialing(to *remote, mismatch *atomic.Pointer[IdentityError]) credentials.TransportCredentials {
	return credentials.NewTLS(i.config(func(state tls.ConnectionState) error {
		key, err := keyOf(state, to.Key.String())
		if err == nil && key != to.Key {
			err = &IdentityError{to.Key.String(), key.String()}
		}
		if wrong := (*IdentityError)(nil); errors.As(err, &wrong) {
			mismatch.Store(wrong)
		}
		return err
	}))
}

// ofSet is whose keys are accepted from those who dial us.
const ofSet = "one of the validator set"

// session is the AuthInfo of a connection made to us.
type session struct {
	credentials.TLSInfo
	remote *remote
	conn   *visitor
}

// entry is the credentials of those who dial us: who has no key of the set does not get past TLS.
type entry struct {
	credentials.TransportCredentials
	identity *identity
	notes    *notes
}

func newEntry(i *identity, notes *notes) entry {
	return entry{
		TransportCredentials: credentials.NewTLS(i.config(func(state tls.ConnectionState) error {
			_, err := i.whose(state)
			return err
		})),
		identity: i,
		notes:    notes,
	}
}

func (i *identity) whose(state tls.ConnectionState) (*remote, error) {
	key, err := keyOf(state, ofSet)
	if err != nil {
		return nil, err
	}
	r := i.byKey[key]
	if r == nil {
		return nil, &IdentityError{ofSet, key.String()}
	}
	return r, nil
}

// ServerHandshake is part of credentials.TransportCredentials. The connection is one of a door.
func (e entry) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	v := raw.(*visitor)
	conn, info, err := e.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
			e.notes.stranger(raw.RemoteAddr().String(), err)
		}
		return nil, nil, err
	}
	tlsInfo := info.(credentials.TLSInfo)
	from, err := e.identity.whose(tlsInfo.State)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	v.door.recognise(v, from)
	return conn, session{tlsInfo, from, v}, nil
}

// Clone is part of credentials.TransportCredentials.
func (e entry) Clone() credentials.TransportCredentials {
	e.TransportCredentials = e.TransportCredentials.Clone()
	return e
}
