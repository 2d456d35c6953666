package rpc

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

// accuse stores evidence of two timeouts of a round by validator i.
func (f *fixture) accuse(i int, round consensus.Round) *consensus.Evidence {
	f.t.Helper()
	identity := f.committee.Identity(i)
	identity.Domain = f.genesis.Domain()
	statement := func(qcRound consensus.Round) consensus.Statement {
		qc := &consensus.QC{Data: consensus.VoteData{Block: consensus.BlockInfo{Round: qcRound}}}
		return identity.Timeout(&consensus.Timeout{Round: round, QC: qc}).Get().Statement(f.server.epoch)
	}
	e, ok := consensus.NewEvidence(statement(1), statement(2))
	if !ok {
		f.t.Fatal("no evidence")
	}
	if _, err := f.store.SaveEvidence(must(f.verifier().Evidence(e)), consensus.Timestamp(round)*1000); err != nil {
		f.t.Fatal(err)
	}
	return e
}

func (f *fixture) verifier() *consensus.Verifier {
	return &consensus.Verifier{Domain: f.genesis.Domain(), Set: f.genesis.Validators, Scheme: f.committee.Scheme}
}

func (f *fixture) listEvidence(size int32, token string) *cairnv1.ListEvidenceResponse {
	f.t.Helper()
	return must(f.node.ListEvidence(f.t.Context(), &cairnv1.ListEvidenceRequest{PageSize: size, PageToken: token}))
}

func TestListEvidence(t *testing.T) {
	f := start(t)
	if page := f.listEvidence(0, ""); len(page.GetEvidence()) != 0 || page.GetNextPageToken() != "" {
		t.Fatalf("of nobody: %v", page)
	}
	e := f.accuse(2, 7)
	want := &cairnv1.Evidence{
		Id: e.ID().String(), Kind: cairnv1.EvidenceKind_TIMEOUT, Validator: f.committee.ID(2).String(), Epoch: 1, Round: 7,
		First:    &cairnv1.SignedContent{Hash: e.HashOf(e.First).String(), Content: e.First.Content, Signature: e.First.Signature.String()},
		Second:   &cairnv1.SignedContent{Hash: e.HashOf(e.Second).String(), Content: e.Second.Content, Signature: e.Second.Signature.String()},
		SeenTime: 7000,
	}
	page := f.listEvidence(0, "")
	if len(page.GetEvidence()) != 1 || !proto.Equal(page.GetEvidence()[0], want) || page.GetNextPageToken() != "" {
		t.Errorf("%v, want %v", page, want)
	}
}

// TestServedEvidenceVerifies: what the API shows is enough to prove it.
func TestServedEvidenceVerifies(t *testing.T) {
	f := start(t)
	f.accuse(2, 7)
	got := f.listEvidence(0, "").GetEvidence()[0]
	content := func(c *cairnv1.SignedContent) consensus.SignedContent {
		return consensus.SignedContent{Content: c.GetContent(), Signature: must(signature.Parse(c.GetSignature()))}
	}
	e := &consensus.Evidence{
		EvidenceKey: consensus.EvidenceKey{
			Epoch: consensus.Epoch(got.GetEpoch()), Round: consensus.Round(got.GetRound()),
			Signer: must(consensus.ParseValidatorID(got.GetValidator())), Kind: consensus.EvidenceKind(got.GetKind()),
		},
		First: content(got.GetFirst()), Second: content(got.GetSecond()),
	}
	if _, err := f.verifier().Evidence(e); err != nil {
		t.Error(err)
	}
	e.Round++
	if _, err := f.verifier().Evidence(e); err == nil {
		t.Error("in another round it verifies as well")
	}
}

// TestEvidencePages: pages of any size show everything once, newest round first; what is found meanwhile does not shift
// them.
func TestEvidencePages(t *testing.T) {
	f := start(t)
	const rounds = 7
	for round := range consensus.Round(rounds) {
		f.accuse(0, 3+round)
		f.accuse(1, 3+round)
	}
	for size := int32(1); size <= 2*rounds+1; size++ {
		var seen []uint64
		var ids []string
		token := ""
		for {
			page := f.listEvidence(size, token)
			if n := len(page.GetEvidence()); n > int(size) || n == 0 {
				t.Fatalf("size %d: a page of %d", size, n)
			}
			for _, e := range page.GetEvidence() {
				seen, ids = append(seen, e.GetRound()), append(ids, e.GetId())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
			f.accuse(2, 100+consensus.Round(size)) // newer than all
		}
		kept := seen[:0]
		for _, r := range seen {
			if r < 100 {
				kept = append(kept, r)
			}
		}
		want := []uint64{9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3}
		slices.Sort(ids)
		if !slices.Equal(kept, want) || len(slices.Compact(ids)) != len(seen) {
			t.Fatalf("size %d: rounds %v", size, seen)
		}
	}
}

// TestEvidencePageLimits: a page ends at the node's limit of entries.
func TestEvidencePageLimits(t *testing.T) {
	f := start(t, limited(func(l *Limits) { l.PageSize = 3 }))
	for round := range consensus.Round(5) {
		f.accuse(0, 3+round)
	}
	for asked, want := range map[int32]int{0: 3, 1: 1, 2: 2, 3: 3, 4: 3, 1000: 3} {
		if page := f.listEvidence(asked, ""); len(page.GetEvidence()) != want || page.GetNextPageToken() == "" {
			t.Errorf("asked for %d: %d", asked, len(page.GetEvidence()))
		}
	}
}

func TestEvidenceTokens(t *testing.T) {
	f := start(t)
	f.accuse(0, 3)
	key := consensus.EvidenceKey{Epoch: 1, Round: 3, Signer: f.committee.ID(0), Kind: consensus.TimeoutEvidence}
	other := &Server{hash: consensus.Hash{9}}
	if page := f.listEvidence(0, f.server.evidenceToken(key)); len(page.GetEvidence()) != 0 {
		t.Errorf("behind the last: %v", page)
	}
	for name, token := range map[string]string{
		"of blocks": f.server.pageToken(page{7, 6}), "of another chain": other.evidenceToken(key), "nonsense": "x",
		"cut": f.server.evidenceToken(key)[1:], "of a stream": f.server.resumeToken(7),
	} {
		_, err := f.node.ListEvidence(t.Context(), &cairnv1.ListEvidenceRequest{PageToken: token})
		d := wantReason(t, err, cairnv1.ErrorReason_INVALID_PAGE_TOKEN)
		if fmt.Sprint(d.fields) != "[pageToken]" {
			t.Errorf("%s blames %v", name, d.fields)
		}
	}
	_, err := f.node.ListEvidence(t.Context(), &cairnv1.ListEvidenceRequest{PageSize: -1})
	wantReason(t, err, cairnv1.ErrorReason_MALFORMED_REQUEST)
}
