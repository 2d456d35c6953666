package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/gateway"
)

func sized(length int) string {
	const frame = `{"transaction": {"publicKey": ""}}`
	return strings.Replace(frame, `""`, `"`+strings.Repeat("a", length-len(frame))+`"`, 1)
}

func TestBodyLimit(t *testing.T) {
	s := serve(t, newChain(1))
	for _, length := range []int{gateway.DefaultMaxBody - 1, gateway.DefaultMaxBody} {
		if got := request(t, s, "POST /v1/transactions", sized(length)); got.code != http.StatusOK {
			t.Errorf("%d bytes: %d %s", length, got.code, got.body)
		}
	}
	over := sized(gateway.DefaultMaxBody + 1)
	detail := wantError(t, request(t, s, "POST /v1/transactions", over), 413, cairnv1.ErrorReason_REQUEST_TOO_LARGE)
	if detail.metadata["limit"] != "1048576" {
		t.Errorf("%v", detail.metadata)
	}
}

// send writes raw bytes and reads one answer.
func send(t *testing.T, address, text string) *http.Response {
	t.Helper()
	conn := dial(t, address)
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return receive(t, conn)
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func receive(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// A body without a declared length is bounded all the same.
func TestChunkedBodyLimit(t *testing.T) {
	s := serve(t, newChain(1), func(cfg *gateway.Config) { cfg.MaxBody = 64 })
	for length, want := range map[int]int{64: 200, 65: 413} {
		body := sized(length)
		resp := send(t, s.Listener.Addr().String(), fmt.Sprintf(
			"POST /v1/transactions HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body))
		if resp.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", length, resp.StatusCode, want)
		}
	}
}

func TestSlowBody(t *testing.T) {
	s := serve(t, newChain(1), func(cfg *gateway.Config) { cfg.BodyTimeout = 50 * time.Millisecond })
	resp := send(t, s.Listener.Addr().String(), "POST /v1/transactions HTTP/1.1\r\nHost: node\r\nContent-Length: 9\r\n\r\n{")
	if resp.StatusCode != http.StatusBadRequest || !resp.Close {
		t.Errorf("%d, close %v", resp.StatusCode, resp.Close)
	}
}

// The deadline of the body does not outlast the body: a long wait is not cut.
func TestBodyDeadlineEnds(t *testing.T) {
	c := newChain(1)
	s := serve(t, c, func(cfg *gateway.Config) { cfg.BodyTimeout = 50 * time.Millisecond })
	c.mu.Lock() // the node does not answer
	conn := dial(t, s.Listener.Addr().String())
	if _, err := conn.Write([]byte("POST /v1/transactions HTTP/1.1\r\nHost: node\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(150 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	c.mu.Unlock()
	if resp := receive(t, conn); resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestHeaderLimit(t *testing.T) {
	s := serve(t, newChain(1))
	const slack = 4 << 10 // of net/http
	get := func(length int) int {
		const start, end = "GET /healthz HTTP/1.1\r\nHost: node\r\nX-Long: ", "\r\n\r\n"
		return send(t, s.Listener.Addr().String(), start+strings.Repeat("a", length-len(start)-len(end))+end).StatusCode
	}
	if code := get(gateway.MaxHeader); code != http.StatusOK {
		t.Errorf("at the limit: %d", code)
	}
	if code := get(gateway.MaxHeader + slack + 1); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("over the limit: %d", code)
	}
	server := gateway.Server(http.NotFoundHandler())
	if server.ReadHeaderTimeout != 5*time.Second || server.MaxHeaderBytes != 16<<10 {
		t.Errorf("%v, %d", server.ReadHeaderTimeout, server.MaxHeaderBytes)
	}
}
