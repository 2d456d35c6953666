package rpc

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/test/bufconn"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// TestWindowIsFixed calls a method frame by frame: a request is answered without a ping, within the window that was told.
func TestWindowIsFixed(t *testing.T) {
	l := bufconn.Listen(1 << 16)
	start(t, func(o *options) { o.listener = l })
	conn, err := l.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	framer := http2.NewFramer(conn, conn)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = conn.Write([]byte(http2.ClientPreface))
	must(err)
	must(framer.WriteSettings())
	must(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: headers(
		":method", "POST", ":scheme", "http", ":path", cairnv1.NodeService_GetStatus_FullMethodName, ":authority", "test",
		"content-type", "application/grpc", "te", "trailers",
	)}))
	must(framer.WriteData(1, true, make([]byte, 5))) // a message of no bytes

	told := false
	for {
		frame, err := framer.ReadFrame()
		must(err)
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				told = size == windowBytes
			}
		case *http2.PingFrame:
			t.Fatal("the node sent a ping to measure the connection")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			t.Fatalf("the call ended with %v", frame)
		case *http2.HeadersFrame:
			if !frame.StreamEnded() {
				continue
			}
			if !told {
				t.Fatalf("the node told another window than %d", windowBytes)
			}
			return
		}
	}
}

// headers encodes names and values in turn.
func headers(fields ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer takes all
	}
	return block.Bytes()
}
