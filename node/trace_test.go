package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/cairnchain/cairn/storage"
)

// receiver is an OTLP collector on a loopback port.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	address string

	mu      sync.Mutex
	changed chan struct{}         // closed at the next export
	traces  map[string][]nodeSpan // by trace id in hex
}

type nodeSpan struct {
	node string // service.instance.id
	*otlp.Span
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{address: listener.Addr().String(), changed: make(chan struct{}), traces: map[string][]nodeSpan{}}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// Export is part of OTLP.
func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		node := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if kv.GetKey() == "service.instance.id" {
				node = kv.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				id := hex.EncodeToString(s.GetTraceId())
				r.traces[id] = append(r.traces[id], nodeSpan{node, s})
			}
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return &collector.ExportTraceServiceResponse{}, nil
}

// await waits until the spans of a trace lack nothing, and returns them.
func (r *receiver) await(t *testing.T, id string, lacks func([]nodeSpan) string) []nodeSpan {
	t.Helper()
	for end := time.After(patience); ; {
		r.mu.Lock()
		spans, changed := slices.Clone(r.traces[id]), r.changed
		r.mu.Unlock()
		lack := lacks(spans)
		if lack == "" {
			return spans
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("trace %s after %v: %s; %d spans", id, patience, lack, len(spans))
		}
	}
}

// TestRoundIsOneTrace: the trace id that the API shows of a block leads to what every node did in its round, although
// nothing about traces was on the wire between them.
func TestRoundIsOneTrace(t *testing.T) {
	r := newReceiver(t)
	c := newCluster(t, 4)
	c.otlp = r.address
	c.start()
	receipt := c.members[1].transfer(c.wallet("alice"), c.wallet("bob"), 5)
	c.members[2].await("the height of the others", func(s *storage.Store) bool { return uint64(s.Tip().Height) >= receipt.GetHeight() })
	block, err := c.members[2].client.Block(t.Context(), receipt.GetHeight())
	if err != nil {
		t.Fatal(err)
	}
	leader := ""
	var nodes []string
	for _, m := range c.members {
		nodes = append(nodes, m.node.Name())
		if m.node.self.String() == block.GetProposer() {
			leader = m.node.Name()
		}
	}
	if !slices.Equal(nodes, []string{"node0", "node1", "node2", "node3"}) || leader == "" {
		t.Fatalf("nodes %v, leader %q", nodes, leader)
	}
	spans := r.await(t, block.GetTraceId(), func(spans []nodeSpan) string {
		has := func(node, name string) bool {
			return slices.ContainsFunc(spans, func(s nodeSpan) bool { return s.GetName() == name && (node == "" || s.node == node) })
		}
		for _, node := range nodes {
			for _, name := range []string{"round", "execute", "commit"} {
				if !has(node, name) {
					return fmt.Sprintf("%s of %s is missing", name, node)
				}
			}
		}
		for _, name := range []string{"verify", "save", "vote", "collect"} {
			if !has("", name) {
				return name + " is missing"
			}
		}
		if !has(leader, "propose") {
			return "propose of the leader, " + leader + ", is missing"
		}
		return ""
	})
	checkTrace(t, spans, leader)
	for _, s := range spans {
		for _, kv := range s.GetAttributes() {
			if kv.GetKey() == "cairn.block" && kv.GetValue().GetStringValue() != block.GetId() {
				t.Errorf("%s of %s is about block %s, not %s", s.GetName(), s.node, kv.GetValue().GetStringValue(), block.GetId())
			}
		}
	}
}

// checkTrace wants one root for each node, above all its other spans, and one proposer.
func checkTrace(t *testing.T, spans []nodeSpan, leader string) {
	t.Helper()
	roots := map[string]string{} // by node
	for _, s := range spans {
		if len(s.GetParentSpanId()) > 0 {
			continue
		}
		if s.GetName() != "round" || roots[s.node] != "" {
			t.Errorf("%s of %s is a root, beside another or in place of round", s.GetName(), s.node)
		}
		roots[s.node] = string(s.GetSpanId())
	}
	for _, s := range spans {
		if parent := string(s.GetParentSpanId()); parent != "" && parent != roots[s.node] {
			t.Errorf("%s of %s is not below that node's round", s.GetName(), s.node)
		}
		if s.GetName() == "propose" && s.node != leader {
			t.Errorf("%s proposes, the leader is %s", s.node, leader)
		}
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s of %s ends before it begins", s.GetName(), s.node)
		}
	}
}
