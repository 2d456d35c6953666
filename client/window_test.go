package client_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cairnchain/cairn/client"
)

// TestWindowIsFixed answers a call frame by frame: the client takes the message without sending a ping of its own.
func TestWindowIsFixed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := client.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	called := make(chan struct{})
	go func() {
		defer close(called)
		_, _ = c.Status(t.Context()) // ends with the connection
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	err = answerOnce(conn)
	_ = conn.Close()
	if err != nil {
		t.Error(err)
	}
	_ = c.Close()
	<-called
}

// answerOnce sends an empty message to the first call, then a ping, and reads up to the answer to that.
func answerOnce(conn net.Conn) error {
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return err
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.DataFrame:
			err = errors.Join(
				framer.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, EndHeaders: true, BlockFragment: okHeaders()}),
				framer.WriteData(frame.StreamID, false, make([]byte, 5)),
				framer.WritePing(false, [8]byte{1}),
			)
			if err != nil {
				return err
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				return errors.New("the client sent a ping to measure the connection")
			}
			return nil
		}
	}
}

func okHeaders() []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"}) // a buffer takes all
	_ = encoder.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/grpc"})
	return block.Bytes()
}
