package rpc

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus/engine"
)

// TestPanicCostsOneCall: a call that panics, unary or stream, is answered as an internal error, without what it panicked
// with; the node learns that, and goes on serving.
func TestPanicCostsOneCall(t *testing.T) {
	broken := false
	f := start(t, configured(func(c *Config) {
		status := c.Status
		c.Status = func() *engine.Status {
			if broken {
				panic("a secret")
			}
			return status()
		}
	}))
	broken = true
	_, unary := f.node.GetStatus(t.Context(), &cairnv1.GetStatusRequest{})
	broken = false
	if unary == nil || strings.Contains(unary.Error(), "secret") || !strings.Contains(unary.Error(), "Internal") {
		t.Errorf("the client is told %v", unary)
	}
	if cause := <-f.internal; !strings.Contains(cause.Error(), "a secret") || !strings.Contains(cause.Error(), "panic_test.go") {
		t.Errorf("the node is told %v", cause)
	}
	if _, err := f.node.GetStatus(t.Context(), &cairnv1.GetStatusRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	// A call whose own handling panics, whatever it is.
	if err := func() (err error) {
		defer f.server.catch("/cairn.v1.NodeService/StreamRounds", &err)
		panic("in a stream")
	}(); err == nil || strings.Contains(status.Convert(err).Message(), "in a stream") {
		t.Errorf("a stream: %v", err)
	}
	if cause := <-f.internal; !strings.Contains(cause.Error(), "in a stream") {
		t.Errorf("the node is told %v", cause)
	}
}
