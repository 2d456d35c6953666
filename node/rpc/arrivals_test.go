package rpc

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// Requests that never become complete hold a bounded number of places, and those only for a time.
func TestUnfinishedRequestsAreBounded(t *testing.T) {
	const places = 3
	listener := bufconn.Listen(1 << 16)
	f := start(t, limited(func(l *Limits) { l.Arriving, l.ArrivalTimeout = places, 200*time.Millisecond }),
		func(o *options) { o.listener = listener })
	var plain http.Protocols
	plain.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{
		Protocols:   &plain,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
	}}
	begin := func() (status string, err error) {
		body, hold := io.Pipe()
		go func() { _, _ = hold.Write([]byte{0, 0, 0, 1, 0, 0}) }() // the length of 256 bytes, and one of them
		defer hold.Close()
		req, err := http.NewRequest(http.MethodPost, "http://node"+cairnv1.NodeService_GetChain_FullMethodName, body)
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		answer, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.Header.Get("Grpc-Status") + answer.Trailer.Get("Grpc-Status"), nil
	}
	type result struct {
		status string
		err    error
	}
	results := make(chan result, places+1)
	for range places + 1 {
		go func() {
			status, err := begin()
			results <- result{status, err}
		}()
	}
	statuses := map[string]int{}
	for range places + 1 {
		r := <-results // each ends: one for want of a place, the others because their time is over
		statuses[r.status]++
		t.Log(r.status, r.err)
	}
	if statuses["8"] != 1 {
		t.Fatalf("statuses %v, want one RESOURCE_EXHAUSTED (8)", statuses)
	}
	if _, err := f.node.GetChain(t.Context(), &cairnv1.GetChainRequest{}); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
}

// A burst of as many calls as may be at work is not refused on its way.
func TestBurstOfAllowedCallsArrives(t *testing.T) {
	f := start(t)
	errs := make(chan error, DefaultRequests)
	for range DefaultRequests {
		go func() {
			_, err := f.node.GetChain(t.Context(), &cairnv1.GetChainRequest{})
			errs <- err
		}()
	}
	for range DefaultRequests {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}
