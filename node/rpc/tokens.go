package rpc

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/canonical"
)

// Tokens are places that a client hands back: heights, or the key of a piece of evidence. They hold on every node of the
// chain, and on no other chain: behind the place stand the first bytes of a hash over the token's kind, the genesis hash
// and the place. They are no secret
// and no proof: what a forged one says is checked like a number in a request.
const (
	kindResumeToken = "cairn/resume-token/v1"
	kindPageToken   = "cairn/page-token/v1"

	tokenCheckSize = 8
)

// errToken says that a token was not made here.
var errToken = errors.New("not a token of this method and chain")

var tokenText = base64.RawURLEncoding.Strict()

// seal makes a token of heights.
func (s *Server) seal(kind string, heights ...consensus.Height) string {
	w := canonical.NewWriter(8*len(heights) + tokenCheckSize)
	for _, h := range heights {
		w.Uint64(uint64(h))
	}
	return s.sealBytes(kind, w.Bytes())
}

// sealBytes makes a token of a place of fixed size. It may append to it.
func (s *Server) sealBytes(kind string, place []byte) string {
	check := s.tokenCheck(kind, place)
	return tokenText.EncodeToString(append(place, check[:]...))
}

// unseal reads what seal made of as many heights; anything else is errToken.
func (s *Server) unseal(kind, token string, heights ...*consensus.Height) error {
	raw, err := s.unsealBytes(kind, token, 8*len(heights))
	if err != nil {
		return err
	}
	r := canonical.NewReader(raw)
	for _, h := range heights {
		*h = consensus.Height(r.Uint64())
	}
	return nil
}

// unsealBytes reads what sealBytes made of a place of so many bytes; anything else is errToken.
func (s *Server) unsealBytes(kind, token string, size int) ([]byte, error) {
	if len(token) != tokenText.EncodedLen(size+tokenCheckSize) {
		return nil, errToken
	}
	raw, err := tokenText.DecodeString(token)
	if err != nil || len(raw) != size+tokenCheckSize { // the decoder passes over line breaks
		return nil, errToken
	}
	if check := s.tokenCheck(kind, raw[:size]); check != [tokenCheckSize]byte(raw[size:]) {
		return nil, errToken
	}
	return raw[:size], nil
}

func (s *Server) tokenCheck(kind string, place []byte) (check [tokenCheckSize]byte) {
	w := canonical.NewWriter(128)
	w.String(kind)
	w.Fixed(s.hash[:])
	w.Fixed(place)
	sum := sha256.Sum256(w.Bytes())
	copy(check[:], sum[:])
	return check
}

// resumeToken resumes a commit stream at the height next.
func (s *Server) resumeToken(next consensus.Height) string { return s.seal(kindResumeToken, next) }

func (s *Server) parseResumeToken(token string) (next consensus.Height, err error) {
	return next, s.unseal(kindResumeToken, token, &next)
}

// page is a place in the list of blocks.
type page struct {
	pinned consensus.Height // the newest block of the first page
	next   consensus.Height // the newest block of this page
}

func (s *Server) pageToken(p page) string { return s.seal(kindPageToken, p.pinned, p.next) }

func (s *Server) parsePageToken(token string) (p page, err error) {
	if err := s.unseal(kindPageToken, token, &p.pinned, &p.next); err != nil {
		return page{}, err
	}
	if p.next >= p.pinned { // the first page needs no token
		return page{}, errToken
	}
	return p, nil
}
