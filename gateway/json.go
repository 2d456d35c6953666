package gateway

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// hexBodyField is where a client may write hex in place of base64.
const hexBodyField = "transaction.body"

// errHexBody says that the bytes of a transaction came as hex. Hex is valid base64, so it decodes without an error, to
// other bytes; the node would only see nonsense. The answer has the reason that the node gives for nonsense.
var errHexBody = errors.New("the body is hex; bytes are base64 in JSON")

// strictJSON is the JSON of the API: defaults are written out, absent messages left out, names are lowerCamelCase.
// What is read must be one value without unknown or repeated fields.
type strictJSON struct{ runtime.JSONPb }

func newStrictJSON() *strictJSON {
	return &strictJSON{runtime.JSONPb{
		MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true},
	}}
}

// NewDecoder reads all of r as one value: the runtime's own stops behind the first and passes over what follows.
func (j *strictJSON) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		message, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("%T is no message", v)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := j.UnmarshalOptions.Unmarshal(raw, message); err != nil {
			return err
		}
		if request, ok := message.(*cairnv1.SubmitTransactionRequest); ok && bodyIsHex(raw, request) {
			return errHexBody
		}
		return nil
	})
}

// bodyIsHex says whether the body of the transaction is meant as hex: read so it is a body, read as base64 it is none.
func bodyIsHex(raw []byte, request *cairnv1.SubmitTransactionRequest) bool {
	var texts struct {
		Transaction struct{ Body string }
	}
	if json.Unmarshal(raw, &texts) != nil {
		return false
	}
	meant, err := hex.DecodeString(texts.Transaction.Body)
	return err == nil && isBody(meant) && !isBody(request.GetTransaction().GetBody())
}

// isBody says whether b looks like a serialised cairn.v1.TransactionBody with a chain id. It only steps over the fields:
// decoded, a short b with many empty parts would take fifty times its size.
func isBody(b []byte) (named bool) {
	fields := (*cairnv1.TransactionBody)(nil).ProtoReflect().Descriptor().Fields()
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeField(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		field := fields.ByNumber(number)
		if field == nil {
			return false
		}
		text := field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.MessageKind
		if text != (wire == protowire.BytesType) || !text && wire != protowire.VarintType {
			return false
		}
		named = named || field.Name() == "chain_id"
	}
	return named
}
