package rpc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
)

func (f *fixture) readStatus() *cairnv1.NodeStatus {
	f.t.Helper()
	return must(f.node.GetStatus(f.t.Context(), &cairnv1.GetStatusRequest{}))
}

func TestGetChain(t *testing.T) {
	f := start(t)
	f.commit()
	want := &cairnv1.Chain{
		ChainId: testChain, GenesisHash: f.genesis.Hash().String(), CommitRule: "two_chain", AddressPrefix: "cairn",
		MinimumFee: testFee, Epoch: 1, Faucet: true, Height: 1, Election: "round_robin", ContiguousRounds: 2,
		Limits: &cairnv1.Limits{
			MaxTransactionBytes: 64 << 10, MaxBlockBytes: 2 << 20, MaxBlockTransactions: 5000, MaxMemoBytes: 256,
			MaxAccountPending: 100, MaxPageSize: 1000, MaxSubmissionTransactions: 500, MaxWait: durationpb.New(30 * time.Second),
		},
	}
	if got := must(f.node.GetChain(t.Context(), &cairnv1.GetChainRequest{})); !proto.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestGetStatus(t *testing.T) {
	f := start(t)
	f.commit()
	f.status.Store(f.calm())
	f.status.Load().HighTC = &consensus.TC{Round: 1}
	want := &cairnv1.NodeStatus{
		Version: "v1.2.3", Name: "node-0", ValidatorId: f.committee.ID(0).String(), Role: cairnv1.NodeRole_VALIDATOR,
		Height: 1, Round: 2, Epoch: 1, Leader: f.committee.ID(1).String(), HighQcRound: 2, HighTcRound: 1,
		CommittedBlockId: f.tip.Info.ID.String(), ConnectedPeers: 3, Ready: true,
	}
	if got := f.readStatus(); !proto.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	f.server.cfg.Self = consensus.ValidatorID{}
	if got := f.readStatus(); got.GetRole() != cairnv1.NodeRole_LISTENER || got.GetValidatorId() != "" || !got.GetReady() {
		t.Errorf("a listener: %v", got)
	}
}

func TestReadiness(t *testing.T) {
	far := func(height consensus.Height) consensus.BlockInfo {
		return consensus.BlockInfo{Epoch: 1, Round: 99, Height: height, ID: consensus.Hash{1}}
	}
	ids := func(f *fixture, members ...int) (out []consensus.ValidatorID) {
		for _, i := range members {
			out = append(out, f.committee.ID(i))
		}
		return out
	}
	disconnect := func(members ...int) func(*fixture) {
		return func(f *fixture) {
			for _, i := range members {
				f.peers[i-1].Connected = false
			}
		}
	}
	for _, c := range []struct {
		name    string
		set     func(f *fixture)
		reasons []string // a part of each; none: ready
		missing []int
	}{
		{name: "idle", set: func(*fixture) {}},
		{name: "one is away", set: disconnect(3)},
		{name: "two are away", set: disconnect(1, 3), reasons: []string{"power 2 of 4, itself included, where 3 is needed; not connected with b, d"}},
		{name: "nobody", set: func(f *fixture) { f.peers = nil }, reasons: []string{"power 1 of 4"}},
		{name: "strangers and itself", set: func(f *fixture) {
			f.peers = []PeerStatus{{ID: consensus.ValidatorID{1}, Connected: true}, {ID: f.committee.ID(0), Connected: true},
				{ID: f.committee.ID(1), Connected: true}, {ID: f.committee.ID(1), Connected: true}}
		}, reasons: []string{"power 2 of 4"}},
		{name: "two expiries", set: func(f *fixture) {
			f.status.Load().Expiries = stalledAfter - 1
			f.status.Load().Timeouts = ids(f, 0, 1, 2)
		},
			missing: []int{3}},
		{name: "three expiries", set: func(f *fixture) { f.status.Load().Expiries = stalledAfter; f.status.Load().Timeouts = ids(f, 0, 2) },
			reasons: []string{"stalled in round 1: its timer expired 3 times without a new certificate; nothing heard from b, d"}, missing: []int{1, 3}},
		{name: "no timeout yet", set: func(f *fixture) { f.status.Load().Expiries = stalledAfter; f.status.Load().Voters = ids(f, 0, 1, 2) },
			reasons: []string{"nothing heard from d"}, missing: []int{3}},
		{name: "all are heard", set: func(f *fixture) {
			f.status.Load().Expiries = stalledAfter
			f.status.Load().Timeouts = ids(f, 0, 1, 2, 3)
		},
			reasons: []string{"without a new certificate"}},
		{name: "a few heights behind", set: func(f *fixture) { f.status.Load().Fetching = far(syncingFrom) }},
		{name: "fetching", set: func(f *fixture) { f.status.Load().Fetching = far(syncingFrom + 1) }, reasons: []string{"catching up: at height 0 of 6"}},
		{name: "behind what is committed", set: func(f *fixture) {
			f.status.Load().CommitQC = f.certify(consensus.BlockInfo{Epoch: 1, Round: 100, Height: 41}, far(40))
		}, reasons: []string{"catching up: at height 0 of 40"}},
		{name: "not begun", set: func(f *fixture) { f.status.Store(nil) }, reasons: []string{"starting"}},
		{name: "stopping", set: func(f *fixture) { f.server.Shutdown() }, reasons: []string{"stopping"}},
		{name: "all at once", set: func(f *fixture) {
			f.peers, f.status.Load().Fetching, f.status.Load().Expiries = nil, far(50), stalledAfter
		}, reasons: []string{"no quorum", "catching up", "stalled"}, missing: []int{0, 1, 2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			c.set(f)
			got := f.readStatus()
			if got.GetReady() != (len(c.reasons) == 0) || len(got.GetReasons()) != len(c.reasons) {
				t.Fatalf("ready %v: %q", got.GetReady(), got.GetReasons())
			}
			for i, part := range c.reasons {
				if !strings.Contains(got.GetReasons()[i], part) {
					t.Errorf("reason %q, want %q", got.GetReasons()[i], part)
				}
			}
			if !slices.Equal(got.GetMissingVoters(), idTexts(ids(f, c.missing...))) {
				t.Errorf("missing %v", got.GetMissingVoters())
			}
			want := healthv1.HealthCheckResponse_NOT_SERVING
			if got.GetReady() {
				want = healthv1.HealthCheckResponse_SERVING
			}
			for _, one := range append(f.server.services(), published{desc: &grpc.ServiceDesc{}}) {
				name := one.desc.ServiceName
				if answer := must(f.health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: name})); answer.GetStatus() != want {
					t.Errorf("health of %q: %v", name, answer)
				}
			}
		})
	}
}

func TestSyncStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- f.server.Run(ctx) }()
		synctest.Wait()
		read := func() *cairnv1.SyncStatus {
			return must(f.node.GetSyncStatus(t.Context(), &cairnv1.GetSyncStatusRequest{}))
		}
		if got := read(); !proto.Equal(got, &cairnv1.SyncStatus{Synced: true}) {
			t.Errorf("at genesis: %v", got)
		}
		if got := f.readStatus().GetLastCommitTime(); got != 0 {
			t.Errorf("last commit at %d", got)
		}
		target := consensus.BlockInfo{Epoch: 1, Round: 120, Height: 110, ID: consensus.Hash{1}}
		f.status.Store(&engine.Status{})
		f.status.Load().Fetching = target
		f.peers[1].Fetching = true
		for range 10 { // two each second
			pass(500 * time.Millisecond)
			f.commit()
			synctest.Wait()
		}
		want := &cairnv1.SyncStatus{
			CurrentHeight: 10, TargetHeight: 110, TargetRound: 120, BlocksPerSecond: 2, Eta: durationpb.New(50 * time.Second),
			Peers: []string{f.committee.ID(2).String()},
		}
		if got := read(); !proto.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := f.readStatus().GetLastCommitTime(); got != time.Now().UnixMilli() {
			t.Errorf("last commit at %d", got)
		}
		for range 50 { // ten each second: the rate is that of the last ten seconds
			pass(100 * time.Millisecond)
			f.commit()
			synctest.Wait()
		}
		if got := read(); got.GetBlocksPerSecond() < 5 || got.GetBlocksPerSecond() > 7 {
			t.Errorf("rate %v", got.GetBlocksPerSecond())
		}
		pass(time.Minute)
		if got := read(); got.GetBlocksPerSecond() != 0 || got.GetEta() != nil {
			t.Errorf("nothing was committed for a minute: %v", got)
		}
		f.status.Store(f.calm())
		if got := read(); !got.GetSynced() || got.GetTargetHeight() != 61 && got.GetTargetHeight() != 60 || got.GetEta() != nil {
			t.Errorf("caught up: %v", got)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// A node that is behind tells of it every few seconds, and once when it is over.
func TestCatchUpIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		var told []CatchUp
		f.server.cfg.OnCatchUp = func(c CatchUp) { told = append(told, c) }
		f.peers[1].Fetching = true
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- f.server.Run(ctx) }()
		behind := &engine.Status{}
		behind.Fetching = consensus.BlockInfo{Epoch: 1, Round: 220, Height: 210, ID: consensus.Hash{1}}
		f.status.Store(behind)
		for range 100 { // ten each second
			pass(100 * time.Millisecond)
			f.commit()
			synctest.Wait()
		}
		if n := len(told); n != 3 && n != 2 {
			t.Fatalf("told %d times in ten seconds: %+v", n, told)
		}
		last := told[len(told)-1]
		left := float64(210-last.Height) / 10
		if last.Over || last.Target != 210 || last.BlocksPerSecond < 9.5 || last.BlocksPerSecond > 10.5 ||
			last.ETA.Seconds() < left*0.9 || last.ETA.Seconds() > left*1.1 || len(last.Peers) != 1 {
			t.Errorf("%+v", last)
		}
		f.status.Store(f.calm())
		pass(2 * time.Second)
		synctest.Wait()
		before := len(told)
		pass(time.Minute)
		synctest.Wait()
		if over := told[len(told)-1]; !over.Over || over.Blocks < 98 || over.Blocks > 100 || len(told) != before {
			t.Errorf("at the end %+v, told %d times after it", over, len(told)-before)
		}
		f.status.Store(behind)
		pass(2 * time.Second) // for a moment
		f.status.Store(f.calm())
		pass(10 * time.Second)
		synctest.Wait()
		if len(told) != before {
			t.Errorf("told of a moment: %+v", told[before:])
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func TestProgressForgets(t *testing.T) {
	var p progress
	now := time.Unix(1000, 0)
	p.begin(now, 0, 2000)
	if rate, eta := p.pace(now, 2000); rate != 0 || eta != 0 {
		t.Errorf("rate %v of nothing, %v", rate, eta)
	}
	for h := consensus.Height(1); h <= 1000; h++ {
		now = now.Add(100 * time.Millisecond)
		p.committed(now, h, 2000+h/2)
	}
	rate, eta := p.pace(now, 2500)
	if len(p.samples) != sampleCount || rate < 9.5 || rate > 10.5 {
		t.Errorf("%d samples, rate %v", len(p.samples), rate)
	}
	if eta < 290*time.Second || eta > 310*time.Second { // 1,500 blocks, of which 5 a second are caught up with
		t.Errorf("%v to go", eta)
	}
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		p.committed(now, 1000, 2500)
	}
	if rate, eta := p.pace(now, 2600); rate != 0 || eta != 0 {
		t.Errorf("it falls behind: rate %v, %v to go", rate, eta)
	}
}

func TestValidatorSet(t *testing.T) {
	f := start(t)
	f.commit()
	for name, req := range map[string]*cairnv1.GetValidatorSetRequest{
		"present":         {},
		"of genesis":      {Height: proto.Uint64(0)},
		"of the tip":      {Height: proto.Uint64(1)},
		"of the next one": {Height: proto.Uint64(2)},
		"of the epoch":    {Epoch: proto.Uint64(1)},
	} {
		got := must(f.node.GetValidatorSet(t.Context(), req))
		if got.GetEpoch() != 1 || got.GetTotalPower() != 4 || got.GetQuorumPower() != 3 || got.GetHeight() != 1 || len(got.GetValidators()) != 4 {
			t.Errorf("%s: %v", name, got)
		}
		v := got.GetValidators()[2]
		if m := f.committee.Set.At(2); v.GetId() != m.ID.String() || v.GetName() != "c" || v.GetPublicKey() != m.Key.String() || v.GetPower() != 1 {
			t.Errorf("%s: %v", name, v)
		}
	}
	_, err := f.node.GetValidatorSet(t.Context(), &cairnv1.GetValidatorSetRequest{Epoch: proto.Uint64(0)})
	wantReason(t, err, cairnv1.ErrorReason_VALIDATOR_SET_NOT_FOUND)
}

func TestHealthWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		watch := must(f.health.Watch(t.Context(), &healthv1.HealthCheckRequest{Service: cairnv1.BlockService_ServiceDesc.ServiceName}))
		want := func(status healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			if m, err := watch.Recv(); err != nil || m.GetStatus() != status {
				t.Fatalf("%v, %v, want %v", m, err, status)
			}
		}
		want(healthv1.HealthCheckResponse_SERVING)
		synctest.Wait()
		f.status.Store(nil)
		want(healthv1.HealthCheckResponse_NOT_SERVING)
		synctest.Wait()
		f.status.Store(f.calm())
		want(healthv1.HealthCheckResponse_SERVING)

		unknown := must(f.health.Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "weather"}))
		if m := must(unknown.Recv()); m.GetStatus() != healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
			t.Errorf("%v", m)
		}
		if _, err := f.health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "weather"}); status.Code(err) != codes.NotFound {
			t.Error(err)
		}
		list := must(f.health.List(t.Context(), &healthv1.HealthListRequest{}))
		if len(list.GetStatuses()) != 6 || list.GetStatuses()[""].GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%v", list)
		}
		f.server.Shutdown()
		_, err := unknown.Recv()
		wantReason(t, err, cairnv1.ErrorReason_SHUTTING_DOWN)
	})
}

func TestReady(t *testing.T) {
	f := start(t)
	if ready, reasons := f.server.Ready(); !ready || len(reasons) != 0 {
		t.Errorf("%v, %q", ready, reasons)
	}
	f.status.Store(nil)
	if ready, reasons := f.server.Ready(); ready || len(reasons) != 1 {
		t.Errorf("%v, %q", ready, reasons)
	}
}

// A node with another application serves its chain, and says that it has no accounts.
func TestAnotherApplication(t *testing.T) {
	f := start(t, configured(func(c *Config) { c.Ledger = nil }))
	tx := f.transfer(0, 0)
	f.commit(tx.Encode())
	got := must(f.blocks.GetBlock(t.Context(), byHeight(1))).GetTransactions()[0]
	if got.GetId() != tx.ID().String() || got.GetReceipt() == nil || got.GetTransaction() != nil || got.GetDecoded() != nil {
		t.Errorf("%v", got)
	}
	if chain := must(f.node.GetChain(t.Context(), &cairnv1.GetChainRequest{})); chain.GetChainId() != testChain ||
		chain.GetAddressPrefix() != "" || chain.GetLimits().GetMaxMemoBytes() != 0 || chain.GetLimits().GetMaxBlockBytes() == 0 {
		t.Errorf("%v", chain)
	}
	_, err := f.accounts.GetAccount(t.Context(), &cairnv1.GetAccountRequest{Address: addressOf(0)})
	wantReason(t, err, cairnv1.ErrorReason_UNIMPLEMENTED)
	_, err = f.submit(t.Context(), tx, 0)
	wantReason(t, err, cairnv1.ErrorReason_UNIMPLEMENTED)
}
