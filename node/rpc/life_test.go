package rpc

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
)

type lifeStream = grpc.ServerStreamingClient[cairnv1.StreamTransactionResponse]

func (f *fixture) watch(id consensus.Hash, wait time.Duration) lifeStream {
	f.t.Helper()
	req := &cairnv1.StreamTransactionRequest{Id: id.String()}
	if wait > 0 {
		req.WaitUnknown = durationpb.New(wait)
	}
	return must(f.transactions.StreamTransaction(f.t.Context(), req))
}

// step receives a message that must be of a state.
func (f *fixture) step(stream lifeStream, state cairnv1.TransactionState_Value) *cairnv1.StreamTransactionResponse {
	f.t.Helper()
	m, err := stream.Recv()
	if err != nil || m.State == nil || m.GetState() != state || m.GetSeenTime() == 0 || len(m.GetId()) != 64 {
		f.t.Fatalf("got %v, %v, want %v", m, err, state)
	}
	return m
}

func (f *fixture) over(stream lifeStream) {
	f.t.Helper()
	if m, err := stream.Recv(); !errors.Is(err, io.EOF) {
		f.t.Fatalf("got %v, %v, want the end", m, err)
	}
}

// propose tells the pool of a proposed block, as the node does.
func (f *fixture) propose(round consensus.Round, txs ...ledger.Transaction) mempool.Proposal {
	p := mempool.Proposal{Block: consensus.Hash{byte(round)}, Height: f.tip.Info.Height + 1, Round: round, Leader: f.committee.ID(2)}
	for _, tx := range txs {
		p.Transactions = append(p.Transactions, tx.Encode())
	}
	f.pool.Proposed(p)
	return p
}

// The life of a transaction: pending, proposed in a block that loses, proposed again, committed.
func TestLifeToTheCommit(t *testing.T) {
	f := start(t)
	tx, other := f.transfer(0, 0), f.transfer(1, 0)
	f.mustSubmit(tx)
	f.mustSubmit(other)
	stream := f.watch(tx.ID(), 0)
	if m := f.step(stream, pending); m.GetProposal() != nil {
		t.Errorf("%v", m)
	}
	f.propose(7, other)
	for _, round := range []consensus.Round{8, 9} {
		p := f.propose(round, other, tx)
		want := &cairnv1.TransactionProposal{Height: 1, Round: uint64(round), BlockId: p.Block.String(), Leader: f.committee.ID(2).String()}
		if m := f.step(stream, pending); !proto.Equal(m.GetProposal(), want) {
			t.Errorf("%v, want %v", m, want)
		}
	}
	f.commitPending()
	if m := f.step(stream, committed); m.GetReceipt().GetHeight() != 1 || m.GetReceipt().GetBlockId() != f.tip.Info.ID.String() || m.GetProposal() != nil {
		t.Errorf("%v", m)
	}
	f.over(stream)
	// Asked again it tells the end alone.
	again := f.watch(tx.ID(), 0)
	f.step(again, committed)
	f.over(again)
	// What was proposed before somebody asked is told too.
	late := f.transfer(0, 1)
	f.mustSubmit(late)
	f.propose(12, late)
	stream = f.watch(late.ID(), 0)
	f.step(stream, pending)
	if m := f.step(stream, pending); m.GetProposal().GetRound() != 12 {
		t.Errorf("%v", m)
	}
}

func TestLifeThatEndsOtherwise(t *testing.T) {
	f := start(t)
	replacedOne := f.transfer(0, 0)
	dying := f.transfer(1, 1, func(b *ledger.Body) { b.ExpiresAt = f.tip.Info.Timestamp + 1000 })
	loser := f.transfer(2, 0)
	streams := make(map[cairnv1.TransactionState_Value]lifeStream)
	for state, tx := range map[cairnv1.TransactionState_Value]ledger.Transaction{replaced: replacedOne, expired: dying, rejected: loser} {
		f.mustSubmit(tx)
		streams[state] = f.watch(tx.ID(), 0)
		f.step(streams[state], pending)
	}
	f.mustSubmit(f.transfer(0, 0, func(b *ledger.Body) { b.Fee = 100 }))
	f.commit(f.transfer(2, 0, func(b *ledger.Body) { b.Memo = "rival" }).Encode())
	for state, reason := range map[cairnv1.TransactionState_Value]cairnv1.ErrorReason_Value{
		replaced: cairnv1.ErrorReason_REPLACED, expired: cairnv1.ErrorReason_EXPIRED, rejected: cairnv1.ErrorReason_SEQUENCE_TOO_OLD,
	} {
		if m := f.step(streams[state], state); m.GetRejection().GetReason() != reason || m.GetReceipt() != nil {
			t.Errorf("%v", m)
		}
		f.over(streams[state])
	}
}

func TestLifeOfTheUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		tx := f.transfer(0, 0)
		for wait, least := range map[time.Duration]time.Duration{
			0: 0, 3 * time.Second: 3 * time.Second, time.Hour: DefaultSubmitWaitMax,
		} {
			begin := time.Now()
			_, err := f.watch(tx.ID(), wait).Recv()
			wantReason(t, err, cairnv1.ErrorReason_TRANSACTION_NOT_FOUND)
			if waited := time.Since(begin); waited < least || waited > least+time.Second {
				t.Errorf("wait %v: %v", wait, waited)
			}
		}
		// One that comes while it is awaited, by a client or at once in a block.
		stream := f.watch(tx.ID(), 5*time.Second)
		pass(time.Second)
		f.mustSubmit(tx)
		f.step(stream, pending)
		foreign := f.transfer(1, 0)
		other := f.watch(foreign.ID(), 5*time.Second)
		pass(time.Second)
		f.commit(foreign.Encode())
		f.step(other, committed)
		f.over(other)
		for field, req := range map[string]*cairnv1.StreamTransactionRequest{
			"id": {Id: "xyz"}, "waitUnknown": {Id: tx.ID().String(), WaitUnknown: durationpb.New(-1)},
		} {
			_, err := must(f.transactions.StreamTransaction(t.Context(), req)).Recv()
			if d := detailsOf(t, err); len(d.fields) != 1 || d.fields[0] != field {
				t.Errorf("%s: %+v", field, d)
			}
		}
	})
}

// While nothing happens there are heartbeats; at shutdown the stream says so, also one that still waits.
func TestLifeHeartbeatAndShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		tx := f.transfer(0, 0)
		f.mustSubmit(tx)
		stream, waiting := f.watch(tx.ID(), 0), f.watch(consensus.Hash{1}, 20*time.Second)
		f.step(stream, pending)
		begin := time.Now()
		m, err := stream.Recv()
		if err != nil || m.State != nil || m.GetId() != tx.ID().String() || m.GetSeenTime() != 0 || time.Since(begin) != DefaultHeartbeat {
			t.Errorf("%v, %v after %v", m, err, time.Since(begin))
		}
		f.server.Shutdown()
		for _, s := range []lifeStream{stream, waiting} {
			_, err := s.Recv()
			wantReason(t, err, cairnv1.ErrorReason_SHUTTING_DOWN)
		}
		synctest.Wait()
		if open := f.openStreams(); open != 0 {
			t.Errorf("%d streams are open", open)
		}
	})
}

func TestMempoolStatus(t *testing.T) {
	f := start(t, func(o *options) {
		o.pool = func(l *mempool.Limits) { l.Transactions = 3 }
		o.config = func(c *Config) {
			c.Sharing = func() []mempool.ShareStats {
				return []mempool.ShareStats{{Peer: consensus.ValidatorID{7}, Up: true, Behind: 5, InFlight: 2, Resent: 9}}
			}
		}
	})
	read := func() *cairnv1.MempoolStatus {
		return must(f.node.GetMempoolStatus(t.Context(), &cairnv1.GetMempoolStatusRequest{}))
	}
	empty := read()
	if empty.GetOldestAge() != nil || empty.GetMinimumFeeRate() != 0 || len(empty.GetRefusals()) != 0 || empty.GetLimits().GetTransactions() != 3 ||
		empty.GetLimits().GetTimeToLive().AsDuration() != mempool.DefaultTTL || empty.GetLimits().GetAccountTransactions() != mempool.DefaultPerAccount {
		t.Errorf("%v", empty)
	}
	if s := empty.GetSharing(); len(s) != 1 || s[0].GetValidatorId() != (consensus.ValidatorID{7}).String() || !s[0].GetConnected() ||
		s[0].GetBehind() != 5 || s[0].GetInFlight() != 2 || s[0].GetResent() != 9 {
		t.Errorf("%v", s)
	}
	f.mustSubmit(f.transfer(0, 0))
	f.mustSubmit(f.transfer(0, 1))
	if s := read(); s.GetMinimumFeeRate() != 0 || s.GetTransactions() != 2 || s.GetReady() != 2 || s.GetAccounts() != 1 || s.GetOldestAge() == nil {
		t.Errorf("with room: %v", s)
	}
	last := f.transfer(1, 0, func(b *ledger.Body) { b.Memo = "longer, so cheaper per byte" })
	f.mustSubmit(last)
	want := float64(testFee) / float64(len(last.Encode()))
	if s := read(); s.GetMinimumFeeRate() != want || s.GetTransactions() != 3 {
		t.Errorf("full: %v, want %v", s, want)
	}
	_, err := f.submit(t.Context(), f.transfer(2, 0, func(b *ledger.Body) { b.Memo = "longer, so cheaper per byte" }), 0)
	wantReason(t, err, cairnv1.ErrorReason_MEMPOOL_FULL)
	f.mustSubmit(f.transfer(2, 0)) // dearer per byte: it enters
	if s := read(); fmt.Sprint(s.GetRefusals()) != fmt.Sprint([]*cairnv1.RefusalCount{{Reason: cairnv1.ErrorReason_MEMPOOL_FULL, Count: 1}}) {
		t.Errorf("%v", s.GetRefusals())
	}
	if int(reasonCount) <= len(cairnv1.ErrorReason_Value_name) {
		t.Error("reasons are not all counted")
	}
}

// The outcomes of a block are what its transactions say at length.
func TestStreamedOutcomes(t *testing.T) {
	f := start(t)
	half := func(b *ledger.Body) { b.Outputs[0].Amount = testBalance / 2 }
	f.commit(f.transfer(0, 0, half).Encode(), f.transfer(0, 1, half).Encode())
	for _, full := range []bool{false, true} {
		stream := f.follow(t.Context(), &cairnv1.StreamCommitsRequest{
			FromHeight: proto.Uint64(0), IncludeOutcomes: true, IncludeTransactions: full,
		})
		if m := f.next(stream, 0); m.GetOutcomes() == nil || len(m.GetOutcomes().GetTransactions()) != 0 {
			t.Errorf("genesis: %v", m)
		}
		m := f.next(stream, 1)
		if (len(m.GetBlock().GetTransactions()) == 2) != full || len(m.GetOutcomes().GetTransactions()) != 2 {
			t.Fatalf("%v", m)
		}
		for i, o := range m.GetOutcomes().GetTransactions() {
			tx := f.get(f.tip.Receipts[i].ID.String())
			if o.GetId() != tx.GetId() || o.GetCode() != tx.GetReceipt().GetCode() || o.GetFeeCharged() != testFee {
				t.Errorf("%v, want %v", o, tx)
			}
		}
	}
}
