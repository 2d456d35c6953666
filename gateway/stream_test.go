package gateway_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/gateway"
)

const eventsWanted = "Accept: text/event-stream"

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return o
}

func TestStreamAsLines(t *testing.T) {
	c := newChain(2)
	r := open(t, serve(t, c), "/v1/commits:stream?fromHeight=0&includeTransactions=true")
	if kind := r.resp.Header.Get("Content-Type"); kind != "application/x-ndjson" {
		t.Errorf("content type %q", kind)
	}
	for _, height := range []string{"0", "1"} {
		result := object(t, r.line())["result"].(map[string]any)
		if result["height"] != height || result["block"].(map[string]any)["height"] != height || result["resumeToken"] != "after-"+height {
			t.Errorf("%v", result)
		}
	}
	// A heartbeat carries its token alone.
	heartbeat := object(t, r.line())["result"].(map[string]any)
	if len(heartbeat) != 1 || heartbeat["resumeToken"] != "after-1" {
		t.Errorf("%v", heartbeat)
	}
	// Each message is sent when it comes, not when a buffer is full.
	c.commit()
	if result := object(t, r.line())["result"].(map[string]any); result["height"] != "2" {
		t.Errorf("%v", result)
	}
}

func TestStreamAsEvents(t *testing.T) {
	c := newChain(1)
	r := open(t, serve(t, c), "/v1/commits:stream?fromHeight=0", "Accept: text/html, text/event-stream;q=0.9")
	if kind := r.resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %q", kind)
	}
	event := func(lines ...string) map[string]any {
		t.Helper()
		for _, want := range lines {
			if got := r.line(); got != want {
				t.Errorf("line %q, want %q", got, want)
			}
		}
		data, ok := strings.CutPrefix(r.line(), "data: ")
		if end := r.line(); !ok || end != "" {
			t.Errorf("no data, or behind it %q", end)
		}
		return object(t, data)
	}
	if block := event("id: after-0"); block["height"] != "0" || block["resumeToken"] != "after-0" {
		t.Errorf("%v", block)
	}
	if heartbeat := event("event: heartbeat", "id: after-0"); len(heartbeat) != 1 {
		t.Errorf("%v", heartbeat)
	}
	c.commit()
	if block := event("id: after-1"); block["height"] != "1" {
		t.Errorf("%v", block)
	}
}

// Last-Event-ID prevails over what the URL says.
func TestStreamResumes(t *testing.T) {
	s := serve(t, newChain(6))
	for _, path := range []string{"/v1/commits:stream", "/v1/commits:stream?fromHeight=0", "/v1/commits:stream?resumeToken=after-1"} {
		r := open(t, s, path, "Last-Event-ID: after-3")
		if result := object(t, r.line())["result"].(map[string]any); result["height"] != "4" {
			t.Errorf("%s: %v", path, result)
		}
	}
	r := open(t, s, "/v1/commits:stream?resumeToken=after-1&fromHeight=5")
	if result := object(t, r.line())["result"].(map[string]any); result["height"] != "2" {
		t.Errorf("%v", result)
	}
}

// An error before the first message is an ordinary error, in either framing.
func TestStreamRefused(t *testing.T) {
	s := serve(t, newChain(2))
	for _, accept := range []string{"Accept: */*", eventsWanted} {
		wantError(t, request(t, s, "GET /v1/commits:stream?fromHeight=9", "", accept), 400, cairnv1.ErrorReason_HEIGHT_NOT_REACHED)
		wantError(t, request(t, s, "GET /v1/commits:stream?resumeToken=bad", "", accept), 400, cairnv1.ErrorReason_INVALID_RESUME_TOKEN)
	}
}

func TestStreamBreaks(t *testing.T) {
	c := newChain(3)
	c.end[1] = refuse(codes.OutOfRange, cairnv1.ErrorReason_STREAM_TOO_SLOW)
	s := serve(t, c)

	r := open(t, s, "/v1/commits:stream?fromHeight=0")
	r.line()
	text, ok := strings.CutPrefix(r.line(), `{"error":`)
	if !ok {
		t.Fatalf("no error: %s", text)
	}
	wantStatus(t, strings.TrimSuffix(text, "}"), cairnv1.ErrorReason_STREAM_TOO_SLOW)
	if r.Scan() {
		t.Errorf("behind the error: %s", r.Text())
	}

	r = open(t, s, "/v1/commits:stream?fromHeight=0", eventsWanted)
	for range 3 {
		r.line()
	}
	if line := r.line(); line != "event: error" {
		t.Errorf("%q", line)
	}
	text, _ = strings.CutPrefix(r.line(), "data: ")
	wantStatus(t, text, cairnv1.ErrorReason_STREAM_TOO_SLOW)
	if r.line(); r.Scan() {
		t.Errorf("behind the error: %s", r.Text())
	}
}

func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatal(what)
	}
}

func TestStreamEndsWithItsClient(t *testing.T) {
	c := newChain(1)
	r := open(t, serve(t, c), "/v1/commits:stream?fromHeight=0")
	r.line()
	stream := <-c.streams
	if err := r.resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, stream.Done(), "the node still streams to a client that is gone")
}

// A client that never reads is dropped; nothing of the node stays occupied.
func TestStreamDropsDeadReader(t *testing.T) {
	c := newChain(2000)
	c.padding = 64 << 10
	s := serve(t, c, func(cfg *gateway.Config) { cfg.WriteTimeout = 100 * time.Millisecond })
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1/commits:stream?fromHeight=0 HTTP/1.1\r\nHost: node\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	stream := <-c.streams
	await(t, stream.Done(), "the node still streams to a client that does not read")
}

// A quiet stream outlives the write deadline: only a write that is not taken counts.
func TestStreamOutlivesWriteTimeout(t *testing.T) {
	c := newChain(1)
	const limit = 50 * time.Millisecond
	r := open(t, serve(t, c, func(cfg *gateway.Config) { cfg.WriteTimeout = limit }), "/v1/commits:stream?fromHeight=0")
	r.line()
	r.line()
	timer := time.NewTimer(3 * limit)
	defer timer.Stop()
	<-timer.C
	c.commit()
	if result := object(t, r.line())["result"].(map[string]any); result["height"] != "1" {
		t.Errorf("%v", result)
	}
}
