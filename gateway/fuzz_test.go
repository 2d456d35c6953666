package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/consensus/canonical/canonicaltest"
)

// FuzzJSON: a body is refused by a status for its sender, or is one message that is read again as it is written.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"transaction":{"body":"CgF4","publicKey":"","signature":""},"wait":"1s"}`))
	f.Add([]byte(`{"transaction":{"body":"0a0178"}}`))
	f.Add([]byte(`{"x":1}`))
	f.Add([]byte(`{"wait":"1s","wait":"2s"}`))
	f.Add([]byte(`{} {}`))
	f.Add([]byte(`{"wait":"\xff"}`))
	j := newStrictJSON()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in, again cairnv1.SubmitTransactionRequest
		if err := j.NewDecoder(bytes.NewReader(raw)).Decode(&in); err != nil {
			st := explainParse(err.Error())
			if st.Code() != codes.InvalidArgument || !utf8.ValidString(st.Message()) || len(st.Message()) > 4*maxEcho || len(st.Details()) == 0 {
				t.Fatalf("%q is explained as %v", err, st)
			}
			return
		}
		written, err := j.Marshal(&in)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.NewDecoder(bytes.NewReader(written)).Decode(&again); err != nil || !proto.Equal(&in, &again) {
			t.Fatalf("%s is written as %s, which is %v, %v", raw, written, &again, err)
		}
	})
}

// FuzzOrigin: a page of an origin that is not on the list changes nothing, unless it comes from this very address; and a
// list that is accepted lets pass what stands on it.
func FuzzOrigin(f *testing.F) {
	f.Add("https://wallet.example", "https://wallet.example", "node:80")
	f.Add("http://localhost:*", "http://localhost:3000", "127.0.0.1:80")
	f.Add("http://localhost:*", "http://localhost.evil:3000", "localhost.evil:3000")
	f.Add("null", "null", "")
	f.Fuzz(func(t *testing.T, listed, origin, host string) {
		o, err := parseOrigins([]string{listed})
		if err != nil {
			return
		}
		if exact := strings.ToLower(listed); !strings.HasSuffix(exact, ":*") && !o.allow(exact) {
			t.Errorf("%q does not let itself pass", listed)
		}
		passed := false
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Origin", origin)
		r.Host = host
		o.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })).ServeHTTP(httptest.NewRecorder(), r)
		if !passed || origin == "" || o.allow(origin) {
			return
		}
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, host) || !isAddress(u.Hostname()) {
			t.Errorf("a page of %q changes something at %q, where only %q may", origin, host, listed)
		}
	})
}

// TestJSONAllocatesLittle: a body of many empty outputs, in base64 and in hex, is small in memory.
func TestJSONAllocatesLittle(t *testing.T) {
	const chainID, transfer, output = 1, 7, 1
	outputs := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, output, protowire.BytesType), nil), 1<<17)
	body := protowire.AppendBytes(protowire.AppendTag(nil, chainID, protowire.BytesType), []byte("c"))
	body = protowire.AppendBytes(protowire.AppendTag(body, transfer, protowire.BytesType), outputs)
	j := newStrictJSON()
	request := func(text string) []byte { return []byte(`{"transaction":{"body":"` + text + `"}}`) }
	inputs := [][]byte{request(hex.EncodeToString(body)), request(base64.StdEncoding.EncodeToString(body))}
	canonicaltest.Bounded(t, "FuzzJSON", inputs, func(raw []byte) {
		_ = j.NewDecoder(bytes.NewReader(raw)).Decode(new(cairnv1.SubmitTransactionRequest))
	})
}
