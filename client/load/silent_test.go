package load_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/client/load"
)

// startMute serves a node that was stopped while clients were connected: nothing is answered, and nothing is read of streams.
func startMute(t *testing.T) *client.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mute := errors.New("too late")
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			<-ctx.Done()
			return nil, mute
		}),
		grpc.StreamInterceptor(func(_ any, s grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
			<-s.Context().Done()
			return mute
		}))
	cairnv1.RegisterTransactionServiceServer(server, cairnv1.UnimplementedTransactionServiceServer{})
	cairnv1.RegisterAccountServiceServer(server, cairnv1.UnimplementedAccountServiceServer{})
	cairnv1.RegisterNodeServiceServer(server, cairnv1.UnimplementedNodeServiceServer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	return dialed(t, listener.Addr().String(), func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// startDeaf listens as a process that was stopped before anybody connected: the system takes connections, nobody answers.
func startDeaf(t *testing.T) *client.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return dialed(t, listener.Addr().String(), func() { _ = listener.Close() })
}

func dialed(t *testing.T, address string, stop func()) *client.Client {
	t.Helper()
	c, err := client.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		stop()
	})
	return c
}

// TestSilentNode: one of two nodes answers nothing. Within the patience what was submitted there goes to the other one, at
// once all of it, and no more comes there for a while: the closed loop does not stand still.
func TestSilentNode(t *testing.T) {
	const patience = time.Second // longer than the node that lives needs under the race detector
	for _, via := range []load.Via{load.GRPC, load.Batch, load.Stream} {
		for _, kind := range []string{"mute", "deaf"} {
			t.Run(string(via)+" "+kind, func(t *testing.T) {
				t.Parallel()
				fake := &fakeNode{commit: once}
				clients := []*client.Client{fake.start(t)}
				if kind == "mute" {
					clients = append(clients, startMute(t))
				} else {
					clients = append(clients, startDeaf(t))
				}
				report, err := load.Run(t.Context(), load.Config{
					Clients: clients, Via: via, Mode: load.Closed, Window: 600, Accounts: 400, Count: 3000, Size: 400,
					Patience: patience, Drain: 5 * time.Second,
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := report.Err(); err != nil || report.Committed < 2000 || report.Lost != 0 {
					t.Errorf("%v: %+v", err, report)
				}
				unanswered := uint64(0)
				for _, n := range report.Unanswered {
					unanswered += n
				}
				if unanswered == 0 || unanswered > 1000 {
					t.Errorf("%d were not answered: %v", unanswered, report.Unanswered)
				}
				t.Logf("%d not answered", unanswered)
			})
		}
	}
}
