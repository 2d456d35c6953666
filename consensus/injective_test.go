package consensus_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// statement is one thing that a validator signs. The fields of the other kinds are zero.
type statement struct {
	Kind    string // "vote", "timeout" or "proposal"
	Domain  consensus.Domain
	Data    consensus.VoteData
	Rounds  struct{ Round, QCRound consensus.Round }
	Header  consensus.Header
	Payload string
}

// reader is a signer that reads what it is to sign, and signs nothing.
type reader struct{ message string }

func (*reader) Public() (none signature.PublicKey) { return none }

func (r *reader) Sign(message []byte) (none signature.Signature) {
	r.message = string(message)
	return none
}

// content is where a kind has its fields.
func (s *statement) content() []any {
	switch s.Kind {
	case "vote":
		return []any{&s.Domain, &s.Data}
	case "timeout":
		return []any{&s.Domain, &s.Rounds}
	}
	return []any{&s.Domain, &s.Header, &s.Payload}
}

// bytes are what the signature covers.
func (s *statement) bytes() string {
	r := new(reader)
	id := consensus.Identity{Domain: s.Domain, Signer: r}
	switch s.Kind {
	case "vote":
		id.Vote(&consensus.Vote{Data: s.Data})
	case "timeout":
		id.Timeout(&consensus.Timeout{Round: s.Rounds.Round, QC: &consensus.QC{Data: consensus.VoteData{Block: consensus.BlockInfo{Round: s.Rounds.QCRound}}}})
	default:
		id.Proposal(&consensus.Proposal{Block: s.block()})
	}
	return r.message
}

func (s *statement) block() *consensus.Block {
	var payload [][]byte
	for _, tx := range strings.Fields(s.Payload) {
		payload = append(payload, []byte(tx))
	}
	return consensus.NewBlock(s.Header, nil, payload)
}

// leaves are the numbers, texts, hashes and byte strings that a value consists of. A field that is added to a signed
// type later is among them.
func leaves(v reflect.Value) (out []reflect.Value) {
	v = reflect.Indirect(v)
	if v.Kind() != reflect.Struct {
		return []reflect.Value{v}
	}
	for i := range v.NumField() {
		out = append(out, leaves(v.Field(i))...)
	}
	return out
}

// redraw gives a leaf one of a few values: close together, so that they meet, and such that run into each other if
// anything does.
func redraw(t *testing.T, rng *rand.Rand, v reflect.Value) {
	text := []string{"", "a", "b", "aa", "ab", "a a", "\x00", "\x00\x00"}[rng.IntN(8)]
	number := []uint64{0, 1, 2, 255, 256, 1 << 32, 1 << 56, 1<<64 - 1}[rng.IntN(8)]
	switch v.Kind() {
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(number & (1<<v.Type().Bits() - 1))
	case reflect.Int64:
		v.SetInt(int64(number))
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.SetBytes([]byte(text))
	case reflect.Array:
		v.SetZero()
		v.Index([]int{0, v.Len() - 1}[rng.IntN(2)]).SetUint(number & 255)
	default:
		t.Fatalf("a field of kind %v in something signed", v.Kind())
	}
}

// TestNoTwoStatementsShareBytes: among tens of thousands of votes, timeouts and proposals of many domains, most of which
// differ from another one in a field or two, those that are signed by the same bytes are the same.
func TestNoTwoStatementsShareBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	seen, equal, kinds := map[string]statement{}, 0, []string{"vote", "timeout", "proposal"}
	for _, kind := range kinds {
		s := statement{Kind: kind}
		for range 6_000 {
			next := s
			var all []reflect.Value
			for _, part := range next.content() {
				all = append(all, leaves(reflect.ValueOf(part))...)
			}
			for range 1 + rng.IntN(3) {
				redraw(t, rng, all[rng.IntN(len(all))])
			}
			next.Header.PayloadRoot = consensus.Hash{}
			if s = next; rng.IntN(8) == 0 {
				s = statement{Kind: kind}
			}
			raw := next.bytes()
			other, met := seen[raw]
			if seen[raw] = next; !met {
				continue
			}
			if equal++; other.normal() != next.normal() {
				t.Fatalf("%+v\nand\n%+v\nare signed by the same bytes", other, next)
			}
		}
	}
	if equal < 250 || len(seen) < 10_000 {
		t.Errorf("%d statements met an equal one, %d are different: this proves little", equal, len(seen))
	}
	for raw, s := range seen {
		if want := string(prefix(s.Domain, "cairn/"+s.Kind+"/v1")); !strings.HasPrefix(raw, want) {
			t.Fatalf("%+v is not signed under its domain", s)
		}
	}
}

// normal is equal for equal statements: payloads are lists, so the spaces between the items do not count.
func (s statement) normal() string {
	s.Payload = strings.Join(strings.Fields(s.Payload), " ")
	return fmt.Sprintf("%+v", s)
}

// TestEveryFieldIsSigned: whichever field changes, the signed bytes change; so do a block's id and a vote's digest.
func TestEveryFieldIsSigned(t *testing.T) {
	for _, kind := range []string{"vote", "timeout", "proposal"} {
		s := statement{Kind: kind, Domain: consensus.Domain{ChainID: "c"}, Data: consensus.VoteData{Commit: consensus.BlockInfo{Round: 7}}, Payload: "x"}
		before, id, digest := s.bytes(), s.block().ID(), s.Data.Digest()
		for _, part := range s.content() {
			v := reflect.ValueOf(part)
			for i, leaf := range leaves(v) {
				if leaf.Addr().Interface() == any(&s.Header.PayloadRoot) {
					continue // NewBlock computes it
				}
				saved := reflect.New(leaf.Type()).Elem()
				saved.Set(leaf)
				switch leaf.Kind() {
				case reflect.Uint8, reflect.Uint64:
					leaf.SetUint(leaf.Uint() + 1)
				case reflect.Int64:
					leaf.SetInt(leaf.Int() + 1)
				case reflect.String:
					leaf.SetString(leaf.String() + "y")
				case reflect.Slice:
					leaf.SetBytes(append(leaf.Bytes(), 0))
				case reflect.Array:
					leaf.Index(leaf.Len() - 1).SetUint(leaf.Index(leaf.Len()-1).Uint() + 1)
				default:
					t.Fatalf("a field of kind %v in something signed", leaf.Kind())
				}
				if s.bytes() == before {
					t.Errorf("%s: field %d of %T is not signed", kind, i, part)
				}
				if part == any(&s.Header) && s.block().ID() == id {
					t.Errorf("field %d of the header is not in the block's id", i)
				}
				if part == any(&s.Data) && s.Data.Digest() == digest {
					t.Errorf("field %d of vote data is not in the digest", i)
				}
				leaf.Set(saved)
			}
		}
	}
}
