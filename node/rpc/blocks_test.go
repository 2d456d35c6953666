package rpc

import (
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/consensus/engine"
)

func byHeight(h uint64) *cairnv1.GetBlockRequest {
	return &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Height{Height: h}}
}

func TestGetBlock(t *testing.T) {
	f := start(t)
	tx := f.transfer(0, 0)
	first := f.commit(tx.Encode(), f.transfer(1, 0).Encode())
	f.commitIn(5)
	got := must(f.blocks.GetBlock(t.Context(), byHeight(1)))
	trace := consensus.RoundTraceID(testChain, 1, 1)
	want := map[string][2]any{
		"id":                {got.GetId(), first.Info.ID.String()},
		"round":             {got.GetRound(), uint64(1)},
		"epoch":             {got.GetEpoch(), uint64(1)},
		"parent id":         {got.GetParentId(), f.store.Genesis().ID.String()},
		"parent round":      {got.GetParentRound(), uint64(0)},
		"parent state root": {got.GetParentStateRoot(), f.store.Genesis().StateRoot.String()},
		"payload root":      {got.GetPayloadRoot(), first.Block.PayloadRoot.String()},
		"state root":        {got.GetStateRoot(), first.Info.StateRoot.String()},
		"receipts root":     {got.GetReceiptsRoot(), app.ReceiptsRoot(first.Receipts).String()},
		"history root":      {got.GetHistoryRoot(), first.Info.HistoryRoot.String()},
		"timestamp":         {got.GetTimestamp(), int64(first.Info.Timestamp)},
		"proposer":          {got.GetProposer(), f.committee.ID(f.committee.Leader(1)).String()},
		"trace":             {got.GetTraceId(), hex.EncodeToString(trace[:])},
		"count":             {got.GetTransactionCount(), uint32(2)},
		"listed":            {len(got.GetTransactions()), 2},
		"first":             {got.GetTransactions()[0].GetId(), tx.ID().String()},
		"certified":         {got.GetQc().GetBlock().GetId(), first.Info.ID.String()},
		"commits":           {got.GetQc().GetCommit().GetId(), f.store.Genesis().ID.String()},
		"parent qc":         {got.GetParentQc().GetBlock().GetHeight(), uint64(0)},
		"signatures":        {len(got.GetQc().GetSignatures()), 3},
		"read":              {got.GetReadHeight(), uint64(2)},
	}
	for what, pair := range want {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	if !proto.Equal(got.GetTransactions()[0], withoutRead(f.get(tx.ID().String()))) {
		t.Error("the block's transaction is not the one that GetTransaction gives")
	}
	latest := must(f.blocks.GetBlock(t.Context(), &cairnv1.GetBlockRequest{}))
	if latest.GetHeight() != 2 || len(latest.GetFailed()) != 2 || latest.GetFailed()[1] != f.committee.ID(3).String() {
		t.Errorf("latest: %v", latest)
	}
	byID := must(f.blocks.GetBlock(t.Context(), &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Id{Id: got.GetId()}}))
	if !proto.Equal(byID, got) {
		t.Error("by id it is another block than by height")
	}
	genesis := must(f.blocks.GetBlock(t.Context(), byHeight(0)))
	if genesis.GetId() != f.store.Genesis().ID.String() || genesis.GetParentQc() != nil || genesis.GetProposer() != "" ||
		genesis.GetParentId() != strings.Repeat("0", 64) || len(genesis.GetQc().GetSignatures()) != 0 {
		t.Errorf("genesis: %v", genesis)
	}
}

func withoutRead(tx *cairnv1.Transaction) *cairnv1.Transaction {
	tx = proto.CloneOf(tx)
	tx.ReadHeight = nil
	return tx
}

func TestQuorumCertificate(t *testing.T) {
	f := start(t)
	first := f.commit()
	f.commit()
	read := func(req *cairnv1.GetQuorumCertificateRequest) *cairnv1.QuorumCertificate {
		t.Helper()
		return must(f.blocks.GetQuorumCertificate(t.Context(), req))
	}
	byHeight := read(&cairnv1.GetQuorumCertificateRequest{Selector: &cairnv1.GetQuorumCertificateRequest_Height{Height: 1}})
	byID := read(&cairnv1.GetQuorumCertificateRequest{Selector: &cairnv1.GetQuorumCertificateRequest_Id{Id: first.Info.ID.String()}})
	if byHeight.GetBlock().GetId() != first.Info.ID.String() || !proto.Equal(byHeight, byID) || byHeight.GetReadHeight() != 2 {
		t.Errorf("%v, %v", byHeight, byID)
	}
	verifier := f.committee.Verifier()
	verifier.Domain, verifier.Genesis = f.genesis.Domain(), f.store.Genesis()
	if _, err := verifier.QC(first.QC); err != nil {
		t.Fatal(err)
	}
	if got := byHeight.GetSignatures()[0].GetSignature(); got != first.QC.Signatures[0].Signature.String() {
		t.Errorf("signature %s", got)
	}
	if latest := read(&cairnv1.GetQuorumCertificateRequest{}); latest.GetRound() != uint64(f.store.HighQC().Round()) {
		t.Errorf("latest: %v", latest)
	}
	newer := f.certify(consensus.BlockInfo{Epoch: 1, Round: 9, Height: 3, ID: consensus.Hash{9}}, f.tip.Info)
	f.status.Store(&engine.Status{Status: core.Status{HighQC: newer}})
	if latest := read(&cairnv1.GetQuorumCertificateRequest{}); latest.GetRound() != 9 || latest.GetCommit() != nil {
		t.Errorf("latest of the engine: %v", latest)
	}
}

func TestPages(t *testing.T) {
	f := start(t, limited(func(l *Limits) { l.PageSize = 10 }))
	for range 24 {
		f.commit()
	}
	list := func(size int32, token string) *cairnv1.ListBlocksResponse {
		t.Helper()
		return must(f.blocks.ListBlocks(t.Context(), &cairnv1.ListBlocksRequest{PageSize: size, PageToken: token}))
	}
	for size, want := range map[int32]int{0: 10, 1: 1, 9: 9, 10: 10, 11: 10, 1 << 30: 10} {
		if got := len(list(size, "").GetBlocks()); got != want {
			t.Errorf("page of size %d has %d blocks, want %d", size, got, want)
		}
	}
	next, token := uint64(24), ""
	for pages := 1; ; pages++ {
		page := list(7, token)
		if again := list(7, token); token != "" && !proto.Equal(page, again) {
			t.Fatal("the same token gives another page")
		}
		if page.GetHeight() != 24 {
			t.Fatalf("page at height %d", page.GetHeight())
		}
		for _, b := range page.GetBlocks() {
			if b.GetHeight() != next || b.GetTransactions() != nil {
				t.Fatalf("block %d where %d is due", b.GetHeight(), next)
			}
			next--
		}
		if token = page.GetNextPageToken(); token == "" {
			if pages != 4 || next != 1<<64-1 {
				t.Errorf("%d pages, down to %d", pages, next+1)
			}
			break
		}
		f.commit() // does not shift the pages
	}
	if last := list(10, f.server.pageToken(page{pinned: 24, next: 9})); last.GetNextPageToken() != "" || len(last.GetBlocks()) != 10 {
		t.Errorf("the page that ends with genesis: %d blocks, token %q", len(last.GetBlocks()), last.GetNextPageToken())
	}
	// A token of a node that is further.
	_, err := f.blocks.ListBlocks(t.Context(), &cairnv1.ListBlocksRequest{PageToken: f.server.pageToken(page{pinned: 1000, next: 999})})
	wantReason(t, err, cairnv1.ErrorReason_HEIGHT_NOT_REACHED)
}

// A page is bounded in bytes as well, and the next one goes on where it ended.
func TestPagesAreBoundedInBytes(t *testing.T) {
	f := start(t, func(o *options) { o.members = consensus.MaxValidators })
	const heights = 120
	for range heights {
		f.commit()
	}
	next, token, pages := uint64(heights), "", 0
	for ; token != "" || pages == 0; pages++ {
		page := must(f.blocks.ListBlocks(t.Context(), &cairnv1.ListBlocksRequest{PageSize: heights + 1, PageToken: token}))
		token = page.GetNextPageToken()
		if size := proto.Size(page); size > 4<<20 || size < 2<<20 && token != "" {
			t.Errorf("page %d has %d bytes", pages, size)
		}
		for _, b := range page.GetBlocks() {
			if b.GetHeight() != next {
				t.Fatalf("block %d where %d is due", b.GetHeight(), next)
			}
			next--
		}
	}
	if next != 1<<64-1 || pages < 2 {
		t.Errorf("%d pages, down to %d", pages, next+1)
	}
}

func TestTokens(t *testing.T) {
	f := start(t)
	other := start(t, func(o *options) { o.noFaucet = true }) // another genesis
	token := f.server.resumeToken(7)
	if next, err := f.server.parseResumeToken(token); err != nil || next != 7 {
		t.Errorf("%d, %v", next, err)
	}
	bad := []string{"", token + "A", token[1:], strings.ToUpper(token), other.server.resumeToken(7), f.server.pageToken(page{9, 7}), token[:len(token)-1] + "=", " " + token,
		token[1:] + "\n", "\r" + token[1:]}
	for i := range token {
		for _, c := range "AZaz09-_" {
			if byte(c) != token[i] {
				bad = append(bad, token[:i]+string(c)+token[i+1:])
			}
		}
	}
	for _, text := range bad {
		if next, err := f.server.parseResumeToken(text); err == nil {
			t.Errorf("token %q is %d", text, next)
		}
	}
	for _, p := range []page{{0, 0}, {5, 5}, {5, 6}} {
		if _, err := f.server.parsePageToken(f.server.pageToken(p)); err == nil {
			t.Errorf("token of %v is taken", p)
		}
	}
	if p, err := f.server.parsePageToken(f.server.pageToken(page{5, 4})); err != nil || p != (page{5, 4}) {
		t.Errorf("%v, %v", p, err)
	}
}

func TestWholeBlock(t *testing.T) {
	f := start(t)
	var txs []app.Tx
	for n := range uint64(300) {
		txs = append(txs, f.transfer(0, n, func(b *ledger.Body) { b.Memo = strings.Repeat("m", 100) }).Encode())
	}
	f.commit(txs...)
	got := must(f.blocks.GetBlock(t.Context(), byHeight(1)))
	if len(got.GetTransactions()) != 300 {
		t.Fatalf("%d transactions", len(got.GetTransactions()))
	}
	for i, tx := range got.GetTransactions() {
		if tx.GetState() != committed || tx.GetIndex() != uint32(i) || tx.GetDecoded().GetSequence() != uint64(i) {
			t.Fatalf("transaction %d: %v", i, tx)
		}
	}
}
