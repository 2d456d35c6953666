package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/mempool"
	"github.com/cairnchain/cairn/storage/storagetest"
)

func TestTableHasEveryReasonOfTheAPI(t *testing.T) {
	for value, name := range cairnv1.ErrorReason_Value_name {
		r, ok := table[cairnv1.ErrorReason_Value(value)]
		if unspecified := value == 0; ok == unspecified {
			t.Errorf("%s is in the table: %v", name, ok)
		}
		if ok && r.code == codes.OK {
			t.Errorf("%s has code OK", name)
		}
	}
	for reason, r := range table {
		d := detailsOf(t, fail(reason, "x"))
		if d.code != r.code || d.reason != reason {
			t.Errorf("%v becomes %+v", reason, d)
		}
		// 429 is retried, but for what will never fit.
		if retried := d.retry > 0; d.code == codes.ResourceExhausted && retried == (reason == cairnv1.ErrorReason_REQUEST_TOO_LARGE) {
			t.Errorf("%v has RetryInfo %v", reason, d.retry)
		}
	}
}

func TestEveryRejectionHasAReason(t *testing.T) {
	for _, reason := range []app.Reason{
		app.ReasonMalformed, app.ReasonTooLarge, app.ReasonWrongChain, app.ReasonWrongSender, app.ReasonBadSignature,
		app.ReasonExpired, app.ReasonSequenceTooOld, app.ReasonSequenceTooNew, app.ReasonFeeTooLow,
		app.ReasonInsufficientBalance, app.ReasonBadQuery, mempool.ReasonFull, mempool.ReasonAccountLimit,
		mempool.ReasonReplacementFeeTooLow, mempool.ReasonReplaced, mempool.ReasonBehind,
	} {
		f := explain(fmt.Errorf("wrapped: %w", app.Reject(reason, "why").With("key", 7)))
		if f.reason.String() != string(reason) || f.metadata["key"] != "7" || f.message != "why" {
			t.Errorf("%s becomes %+v", reason, f)
		}
	}
	if f := explain(app.Reject("NOBODY_KNOWS", "x")); f.reason != cairnv1.ErrorReason_INTERNAL || f.cause == nil {
		t.Errorf("an unknown reason becomes %+v", f)
	}
	if got := toRejection(app.Reject("NOBODY_KNOWS", "x")).GetReason(); got != cairnv1.ErrorReason_INTERNAL {
		t.Errorf("an unknown reason becomes %v", got)
	}
}

// offense is a call that fails.
type offense struct {
	name     string
	reason   cairnv1.ErrorReason_Value
	code     codes.Code
	metadata string // a key that must be there, "key=value" when its value is known
	field    string // that must be blamed
	alter    func(*options)
	call     func(f *fixture, ctx context.Context) error
}

// elsewhere are the reasons that this package never gives, and why.
var elsewhere = map[cairnv1.ErrorReason_Value]string{
	cairnv1.ErrorReason_UNSPECIFIED:        "never sent",
	cairnv1.ErrorReason_UNKNOWN_PATH:       "of the gateway",
	cairnv1.ErrorReason_METHOD_NOT_ALLOWED: "of the gateway",
	cairnv1.ErrorReason_ORIGIN_NOT_ALLOWED: "of the gateway",
	cairnv1.ErrorReason_NODE_UNREACHABLE:   "of the gateway",
	cairnv1.ErrorReason_REPLACED:           "a rejection, see TestFates",
	cairnv1.ErrorReason_HEIGHT_PRUNED:      "the store keeps everything",
	cairnv1.ErrorReason_STREAM_TOO_SLOW:    "see TestSlowReader",
	cairnv1.ErrorReason_CANCELLED:          "a client makes this error itself; see TestExplain",
}

// lowDisk is of a node whose disk is nearly full.
var lowDisk = configured(func(c *Config) { c.DiskLow = func() string { return "disk low: 1 of 2 bytes" } })

// On a disk that is nearly full reads are served, the node is not ready and says why, and a stream of submissions goes on
// with a refusal for each.
func TestDiskLow(t *testing.T) {
	f := start(t, lowDisk)
	f.commit()
	if block, err := f.blocks.GetBlock(t.Context(), &cairnv1.GetBlockRequest{}); err != nil || block.GetHeight() != 1 {
		t.Errorf("%v, %v", block, err)
	}
	status, err := f.node.GetStatus(t.Context(), &cairnv1.GetStatusRequest{})
	if err != nil || status.GetReady() || !slices.Contains(status.GetReasons(), "disk low: 1 of 2 bytes") {
		t.Errorf("%v, %v", status, err)
	}
	stream := must(f.transactions.StreamSubmissions(t.Context()))
	for range 2 {
		if err := stream.Send(&cairnv1.StreamSubmissionsRequest{Transactions: wires(f.transfer(0, 0))}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.GetOutcomes()[0].GetError().GetReason() != cairnv1.ErrorReason_DISK_LOW ||
			m.GetOutcomes()[0].GetError().GetRetryAfter().AsDuration() != retryDisk {
			t.Errorf("%v, %v", m, err)
		}
	}
	if f.pool.Stats().Transactions != 0 {
		t.Error("a transaction was taken")
	}
}

func TestEveryReasonIsGiven(t *testing.T) {
	given := map[cairnv1.ErrorReason_Value]string{}
	for reason, why := range elsewhere {
		given[reason] = why
	}
	for _, o := range offenses() {
		given[o.reason] = o.name
		t.Run(o.name, func(t *testing.T) {
			alter := o.alter
			if alter == nil {
				alter = func(*options) {}
			}
			f := start(t, alter)
			f.commit()
			d := wantReason(t, o.call(f, t.Context()), o.reason)
			if d.code != o.code {
				t.Errorf("code %v, want %v", d.code, o.code)
			}
			if key, value, known := strings.Cut(o.metadata, "="); d.metadata[key] == "" && key != "" || known && d.metadata[key] != value {
				t.Errorf("metadata %v, want %s", d.metadata, o.metadata)
			}
			if o.field != "" && !slices.Contains(d.fields, o.field) {
				t.Errorf("blames %v, want %s", d.fields, o.field)
			}
			mayPass := o.code == codes.ResourceExhausted && o.reason != cairnv1.ErrorReason_REQUEST_TOO_LARGE ||
				o.reason == cairnv1.ErrorReason_SEQUENCE_TOO_NEW || // once those before it have come
				o.reason == cairnv1.ErrorReason_NODE_BEHIND || o.reason == cairnv1.ErrorReason_DISK_LOW
			if retried := d.retry > 0; retried != mayPass {
				t.Errorf("RetryInfo %v", d.retry)
			}
			if o.reason == cairnv1.ErrorReason_INTERNAL {
				if cause := <-f.internal; !errors.Is(cause, errDisk) || strings.Contains(d.message, "fire") {
					t.Errorf("the node learns %v, the client %q", cause, d.message)
				}
			}
		})
	}
	for value, name := range cairnv1.ErrorReason_Value_name {
		if given[cairnv1.ErrorReason_Value(value)] == "" {
			t.Errorf("nothing gives %s", name)
		}
	}
}

// offenses are calls on a node at height 1.
func offenses() []offense {
	return slices.Concat(badRequests(), badTransactions(), badMoments())
}

func badRequests() []offense {
	const wrongHash = "ABCDEF"
	return []offense{
		{
			name: "bytes that are no message", reason: cairnv1.ErrorReason_MALFORMED_REQUEST, code: codes.InvalidArgument,
			call: func(f *fixture, ctx context.Context) error {
				return f.raw(ctx, cairnv1.AccountService_GetAccount_FullMethodName, []byte{0xff, 0xff, 0xff})
			},
		}, {
			name: "bytes that are no message, to a stream", reason: cairnv1.ErrorReason_MALFORMED_REQUEST, code: codes.InvalidArgument,
			call: func(f *fixture, ctx context.Context) error {
				return f.raw(ctx, cairnv1.BlockService_StreamCommits_FullMethodName, []byte{0xff, 0xff, 0xff})
			},
		}, {
			name: "negative wait", reason: cairnv1.ErrorReason_MALFORMED_REQUEST, code: codes.InvalidArgument, field: "wait",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.submit(ctx, f.transfer(0, 0), -time.Second)
				return err
			},
		}, {
			name: "no duration", reason: cairnv1.ErrorReason_MALFORMED_REQUEST, code: codes.InvalidArgument, field: "wait",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.transactions.SubmitTransaction(ctx, &cairnv1.SubmitTransactionRequest{
					Transaction: toWire(f.transfer(0, 0)), Wait: &durationpb.Duration{Seconds: 1, Nanos: -1},
				})
				return err
			},
		}, {
			name: "negative page size", reason: cairnv1.ErrorReason_MALFORMED_REQUEST, code: codes.InvalidArgument, field: "pageSize",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.blocks.ListBlocks(ctx, &cairnv1.ListBlocksRequest{PageSize: -1})
				return err
			},
		}, {
			name: "height and epoch", reason: cairnv1.ErrorReason_MALFORMED_REQUEST, code: codes.InvalidArgument, field: "epoch",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.node.GetValidatorSet(ctx, &cairnv1.GetValidatorSetRequest{Height: proto.Uint64(0), Epoch: proto.Uint64(1)})
				return err
			},
		}, {
			name: "unknown field", reason: cairnv1.ErrorReason_UNKNOWN_FIELD, code: codes.InvalidArgument, field: "request",
			call: func(f *fixture, ctx context.Context) error {
				return f.raw(ctx, cairnv1.NodeService_GetChain_FullMethodName, []byte{0x78, 1})
			},
		}, {
			name: "unknown field inside", reason: cairnv1.ErrorReason_UNKNOWN_FIELD, code: codes.InvalidArgument, field: "transaction",
			call: func(f *fixture, ctx context.Context) error {
				req := &cairnv1.SubmitTransactionRequest{Transaction: toWire(f.transfer(0, 0))}
				req.GetTransaction().ProtoReflect().SetUnknown([]byte{0x78, 1})
				_, err := f.transactions.SubmitTransaction(ctx, req)
				return err
			},
		}, {
			name: "unknown field of a stream", reason: cairnv1.ErrorReason_UNKNOWN_FIELD, code: codes.InvalidArgument, field: "request",
			call: func(f *fixture, ctx context.Context) error {
				return f.raw(ctx, cairnv1.BlockService_StreamCommits_FullMethodName, []byte{0x78, 1})
			},
		}, {
			name: "too large", reason: cairnv1.ErrorReason_REQUEST_TOO_LARGE, code: codes.ResourceExhausted, metadata: "limit=1048576",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.accounts.GetAccount(ctx, &cairnv1.GetAccountRequest{Address: strings.Repeat("a", 1<<20)})
				return err
			},
		}, {
			name: "address", reason: cairnv1.ErrorReason_INVALID_ADDRESS, code: codes.InvalidArgument, field: "address",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.accounts.GetAccount(ctx, &cairnv1.GetAccountRequest{Address: strings.ToUpper(addressOf(0))})
				return err
			},
		}, {
			name: "address of the faucet", reason: cairnv1.ErrorReason_INVALID_ADDRESS, code: codes.InvalidArgument, field: "address",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{})
				return err
			},
		}, {
			name: "id of a transaction", reason: cairnv1.ErrorReason_INVALID_HASH, code: codes.InvalidArgument, field: "id",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.transactions.GetTransaction(ctx, &cairnv1.GetTransactionRequest{Id: wrongHash})
				return err
			},
		}, {
			name: "id of a block", reason: cairnv1.ErrorReason_INVALID_HASH, code: codes.InvalidArgument, field: "id",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Id{Id: ""}})
				return err
			},
		}, {
			name: "id of a certificate", reason: cairnv1.ErrorReason_INVALID_HASH, code: codes.InvalidArgument, field: "id",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.blocks.GetQuorumCertificate(ctx, &cairnv1.GetQuorumCertificateRequest{
					Selector: &cairnv1.GetQuorumCertificateRequest_Id{Id: strings.ToUpper(f.tip.Info.ID.String())},
				})
				return err
			},
		}, {
			name: "page token", reason: cairnv1.ErrorReason_INVALID_PAGE_TOKEN, code: codes.InvalidArgument, field: "pageToken",
			call: func(f *fixture, ctx context.Context) error { // one of another method
				_, err := f.blocks.ListBlocks(ctx, &cairnv1.ListBlocksRequest{PageToken: f.server.resumeToken(1)})
				return err
			},
		}, {
			name: "resume token", reason: cairnv1.ErrorReason_INVALID_RESUME_TOKEN, code: codes.InvalidArgument, field: "resumeToken",
			call: func(f *fixture, ctx context.Context) error {
				return f.streamError(ctx, &cairnv1.StreamCommitsRequest{ResumeToken: "1"})
			},
		}, {
			name: "method", reason: cairnv1.ErrorReason_UNIMPLEMENTED, code: codes.Unimplemented,
			call: func(f *fixture, ctx context.Context) error {
				return f.raw(ctx, "/cairn.v1.NodeService/GetWeather", nil)
			},
		}, {
			name: "service", reason: cairnv1.ErrorReason_UNIMPLEMENTED, code: codes.Unimplemented,
			call: func(f *fixture, ctx context.Context) error { return f.raw(ctx, "/weather.v1.Weather/Get", nil) },
		},
	}
}

func badTransactions() []offense {
	// with posts a transaction after a change to what goes over the wire.
	with := func(change func(*cairnv1.SignedTransaction)) func(f *fixture, ctx context.Context) error {
		return func(f *fixture, ctx context.Context) error {
			tx := toWire(f.transfer(0, 0))
			change(tx)
			_, err := f.transactions.SubmitTransaction(ctx, &cairnv1.SubmitTransactionRequest{Transaction: tx})
			return err
		}
	}
	// body posts a transaction with a change to what is signed.
	body := func(change func(*ledger.Body)) func(f *fixture, ctx context.Context) error {
		return func(f *fixture, ctx context.Context) error {
			_, err := f.submit(ctx, f.transfer(0, 0, change), 0)
			return err
		}
	}
	// after posts one after another one.
	after := func(first, second func(*ledger.Body)) func(f *fixture, ctx context.Context) error {
		return func(f *fixture, ctx context.Context) error {
			f.mustSubmit(f.transfer(0, 0, first))
			_, err := f.submit(ctx, f.transfer(0, 0, second), 0)
			return err
		}
	}
	fee := func(fee uint64) func(*ledger.Body) { return func(b *ledger.Body) { b.Fee = fee } }
	sequence := func(n uint64) func(*ledger.Body) { return func(b *ledger.Body) { b.Sequence = n } }
	signed := func(body func(f *fixture) []byte) func(f *fixture, ctx context.Context) error {
		return func(f *fixture, ctx context.Context) error {
			_, err := f.submit(ctx, ledger.Sign(keyOf(0), body(f)), 0)
			return err
		}
	}
	const malformed = cairnv1.ErrorReason_MALFORMED_TRANSACTION
	return []offense{
		{name: "no transaction", reason: malformed, code: codes.InvalidArgument, field: "transaction",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.transactions.SubmitTransaction(ctx, &cairnv1.SubmitTransactionRequest{})
				return err
			}},
		{name: "no body", reason: malformed, code: codes.InvalidArgument, field: "transaction.body",
			call: with(func(tx *cairnv1.SignedTransaction) { tx.Body = nil })},
		{name: "short key", reason: malformed, code: codes.InvalidArgument, field: "transaction.publicKey",
			call: with(func(tx *cairnv1.SignedTransaction) { tx.PublicKey = tx.PublicKey[2:] })},
		{name: "key in capitals", reason: malformed, code: codes.InvalidArgument, field: "transaction.publicKey",
			call: with(func(tx *cairnv1.SignedTransaction) { tx.PublicKey = strings.Repeat("AB", 32) })},
		{name: "long signature", reason: malformed, code: codes.InvalidArgument, field: "transaction.signature",
			call: with(func(tx *cairnv1.SignedTransaction) { tx.Signature += "00" })},
		{name: "body in hex", reason: malformed, code: codes.InvalidArgument, field: "transaction.body",
			call: with(func(tx *cairnv1.SignedTransaction) { tx.Body = fmt.Appendf(nil, "%x", tx.GetBody()) })},
		{name: "trailing bytes", reason: malformed, code: codes.InvalidArgument, field: "transaction.body",
			call: signed(func(f *fixture) []byte { return append(f.transfer(0, 0).Body, 0) })},
		{name: "unknown field of the body", reason: malformed, code: codes.InvalidArgument, field: "transaction.body",
			call: signed(func(f *fixture) []byte { return append(f.transfer(0, 0).Body, 0x78, 1) })},
		{name: "too many bytes", reason: cairnv1.ErrorReason_TRANSACTION_TOO_LARGE, code: codes.InvalidArgument, metadata: "limit=65536",
			field: "transaction",
			call:  signed(func(*fixture) []byte { return make([]byte, ledger.MaxBodyBytes+1) })},
		{name: "chain", reason: cairnv1.ErrorReason_WRONG_CHAIN, code: codes.InvalidArgument, metadata: "chainId=" + testChain,
			field: "transaction.body",
			call:  body(func(b *ledger.Body) { b.ChainID = "other" })},
		{name: "sender", reason: cairnv1.ErrorReason_WRONG_SENDER, code: codes.InvalidArgument, field: "transaction.body",
			call: body(func(b *ledger.Body) { b.Sender = ledger.AddressOf(keyOf(1).Public()) })},
		{name: "signature", reason: cairnv1.ErrorReason_BAD_SIGNATURE, code: codes.InvalidArgument, field: "transaction.signature",
			call: with(func(tx *cairnv1.SignedTransaction) { tx.Signature = strings.Repeat("00", 64) })},
		{name: "used sequence", reason: cairnv1.ErrorReason_SEQUENCE_TOO_OLD, code: codes.FailedPrecondition, metadata: "sequence=1",
			call: func(f *fixture, ctx context.Context) error {
				f.commit(f.transfer(0, 0).Encode())
				_, err := f.submit(ctx, f.transfer(0, 0, fee(99)), 0)
				return err
			}},
		{name: "far sequence", reason: cairnv1.ErrorReason_SEQUENCE_TOO_NEW, code: codes.FailedPrecondition, metadata: "sequence=0",
			call: body(sequence(mempool.DefaultPerAccount))},
		{name: "balance", reason: cairnv1.ErrorReason_INSUFFICIENT_BALANCE, code: codes.FailedPrecondition,
			metadata: fmt.Sprintf("balance=%d", testBalance), call: body(fee(testBalance + 1))},
		{name: "fee", reason: cairnv1.ErrorReason_FEE_TOO_LOW, code: codes.FailedPrecondition, metadata: fmt.Sprintf("minimumFee=%d", testFee),
			call: body(fee(testFee - 1))},
		{name: "expired", reason: cairnv1.ErrorReason_EXPIRED, code: codes.FailedPrecondition, call: func(f *fixture, ctx context.Context) error {
			_, err := f.submit(ctx, f.transfer(0, 0, func(b *ledger.Body) { b.ExpiresAt = f.tip.Info.Timestamp }), 0)
			return err
		}},
		{name: "replacement", reason: cairnv1.ErrorReason_REPLACEMENT_FEE_TOO_LOW, code: codes.FailedPrecondition, metadata: "minimumFee=110",
			call: after(fee(100), fee(109))},
		{name: "account limit", reason: cairnv1.ErrorReason_ACCOUNT_LIMIT, code: codes.ResourceExhausted, metadata: "limit=1",
			alter: func(o *options) { o.pool = func(l *mempool.Limits) { l.PerAccount = 1 } },
			call:  after(fee(100), sequence(1))},
		{name: "behind", reason: cairnv1.ErrorReason_NODE_BEHIND, code: codes.Unavailable,
			call: func(f *fixture, ctx context.Context) error {
				f.pool.Lag(mempool.MaxLag + 1)
				defer f.pool.Lag(0)
				_, err := f.submit(ctx, f.transfer(0, 0), 0)
				return err
			}},
		{name: "full", reason: cairnv1.ErrorReason_MEMPOOL_FULL, code: codes.ResourceExhausted,
			alter: func(o *options) { o.pool = func(l *mempool.Limits) { l.Transactions = 1 } },
			call: func(f *fixture, ctx context.Context) error {
				f.mustSubmit(f.transfer(0, 0, fee(100)))
				_, err := f.submit(ctx, f.transfer(1, 0), 0)
				return err
			}},
	}
}

func badMoments() []offense {
	none := strings.Repeat("0", 64)
	return []offense{
		{name: "unknown transaction", reason: cairnv1.ErrorReason_TRANSACTION_NOT_FOUND, code: codes.NotFound,
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.transactions.GetTransaction(ctx, &cairnv1.GetTransactionRequest{Id: none})
				return err
			}},
		{name: "unknown height", reason: cairnv1.ErrorReason_BLOCK_NOT_FOUND, code: codes.NotFound, metadata: "height=1",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Height{Height: 2}})
				return err
			}},
		{name: "unknown block", reason: cairnv1.ErrorReason_BLOCK_NOT_FOUND, code: codes.NotFound, metadata: "height=1",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Id{Id: none}})
				return err
			}},
		{name: "unknown certificate", reason: cairnv1.ErrorReason_BLOCK_NOT_FOUND, code: codes.NotFound, metadata: "height=1",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.blocks.GetQuorumCertificate(ctx, &cairnv1.GetQuorumCertificateRequest{
					Selector: &cairnv1.GetQuorumCertificateRequest_Height{Height: 1<<64 - 1},
				})
				return err
			}},
		{name: "unknown epoch", reason: cairnv1.ErrorReason_VALIDATOR_SET_NOT_FOUND, code: codes.NotFound, metadata: "epoch=1",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.node.GetValidatorSet(ctx, &cairnv1.GetValidatorSetRequest{Epoch: proto.Uint64(2)})
				return err
			}},
		{name: "validators of a height to come", reason: cairnv1.ErrorReason_VALIDATOR_SET_NOT_FOUND, code: codes.NotFound, metadata: "height=1",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.node.GetValidatorSet(ctx, &cairnv1.GetValidatorSetRequest{Height: proto.Uint64(3)})
				return err
			}},
		{name: "height of an account", reason: cairnv1.ErrorReason_HEIGHT_NOT_REACHED, code: codes.Unavailable, metadata: "height=1",
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.accounts.GetAccount(ctx, &cairnv1.GetAccountRequest{Address: addressOf(0), MinHeight: 1<<64 - 1})
				return err
			}},
		{name: "height of a stream", reason: cairnv1.ErrorReason_HEIGHT_NOT_REACHED, code: codes.OutOfRange, metadata: "height=1",
			field: "fromHeight", call: func(f *fixture, ctx context.Context) error {
				return f.streamError(ctx, &cairnv1.StreamCommitsRequest{FromHeight: proto.Uint64(3)})
			}},
		{name: "no faucet in genesis", reason: cairnv1.ErrorReason_FAUCET_DISABLED, code: codes.FailedPrecondition,
			alter: func(o *options) { o.noFaucet = true }, call: func(f *fixture, ctx context.Context) error {
				_, err := f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(0)})
				return err
			}},
		{name: "no faucet key", reason: cairnv1.ErrorReason_FAUCET_DISABLED, code: codes.FailedPrecondition,
			alter: configured(func(c *Config) { c.Faucet = nil }), call: func(f *fixture, ctx context.Context) error {
				_, err := f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(0)})
				return err
			}},
		{name: "rate", reason: cairnv1.ErrorReason_RATE_LIMITED, code: codes.ResourceExhausted,
			alter: limited(func(l *Limits) { l.SubmitRate, l.SubmitBurst = 0.001, 1 }), call: func(f *fixture, ctx context.Context) error {
				f.mustSubmit(f.transfer(0, 0))
				_, err := f.submit(ctx, f.transfer(0, 1), 0)
				return err
			}},
		{name: "rate of the faucet", reason: cairnv1.ErrorReason_RATE_LIMITED, code: codes.ResourceExhausted,
			alter: limited(func(l *Limits) { l.FaucetRate, l.FaucetBurst, l.Waiting = 0.001, 1, 1 }), call: func(f *fixture, ctx context.Context) error {
				release, _ := f.server.waiting.take() // so that the first does not wait
				defer release()
				if _, err := f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(0)}); err != nil {
					return err
				}
				_, err := f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(0)})
				return err
			}},
		{name: "stopping, a submission", reason: cairnv1.ErrorReason_SHUTTING_DOWN, code: codes.Unavailable,
			call: func(f *fixture, ctx context.Context) error {
				f.server.Shutdown()
				_, err := f.submit(ctx, f.transfer(0, 0), 0)
				return err
			}},
		{name: "disk low, a submission", reason: cairnv1.ErrorReason_DISK_LOW, code: codes.Unavailable, alter: lowDisk,
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.submit(ctx, f.transfer(0, 0), 0)
				return err
			}},
		{name: "disk low, several", reason: cairnv1.ErrorReason_DISK_LOW, code: codes.Unavailable, alter: lowDisk,
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.transactions.SubmitTransactions(ctx, &cairnv1.SubmitTransactionsRequest{Transactions: wires(f.transfer(0, 0))})
				return err
			}},
		{name: "disk low, the faucet", reason: cairnv1.ErrorReason_DISK_LOW, code: codes.Unavailable, alter: lowDisk,
			call: func(f *fixture, ctx context.Context) error {
				_, err := f.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: addressOf(0)})
				return err
			}},
		{name: "stopping, a stream", reason: cairnv1.ErrorReason_SHUTTING_DOWN, code: codes.Unavailable,
			call: func(f *fixture, ctx context.Context) error {
				f.server.Shutdown()
				return f.streamError(ctx, &cairnv1.StreamCommitsRequest{})
			}},
		{name: "store closed", reason: cairnv1.ErrorReason_SHUTTING_DOWN, code: codes.Unavailable,
			call: func(f *fixture, ctx context.Context) error {
				if err := f.store.Close(); err != nil {
					return err
				}
				_, err := f.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{})
				return err
			}},
		{name: "streams", reason: cairnv1.ErrorReason_STREAM_LIMIT, code: codes.ResourceExhausted, metadata: "limit=1",
			alter: limited(func(l *Limits) { l.StreamsPerAddress = 1 }), call: func(f *fixture, ctx context.Context) error {
				f.follow(ctx, &cairnv1.StreamCommitsRequest{})
				return f.streamError(ctx, &cairnv1.StreamCommitsRequest{})
			}},
		{name: "disk", reason: cairnv1.ErrorReason_INTERNAL, code: codes.Internal,
			alter: func(o *options) { o.kv = &brokenKV{KV: storagetest.NewMemory(nil)} }, call: func(f *fixture, ctx context.Context) error {
				f.breakDisk()
				_, err := f.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{})
				return err
			}},
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason cairnv1.ErrorReason_Value
		code   codes.Code
	}{
		{context.Canceled, cairnv1.ErrorReason_CANCELLED, codes.Canceled},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), cairnv1.ErrorReason_CANCELLED, codes.DeadlineExceeded},
		{status.Error(codes.Canceled, "the connection closes"), cairnv1.ErrorReason_CANCELLED, codes.Canceled},
		{errDisk, cairnv1.ErrorReason_INTERNAL, codes.Internal},
		{rateLimited(0), cairnv1.ErrorReason_RATE_LIMITED, codes.ResourceExhausted},
	} {
		d := detailsOf(t, explain(c.err))
		if d.reason != c.reason || d.code != c.code {
			t.Errorf("%v becomes %+v", c.err, d)
		}
	}
}

// raw calls a method with bytes that need not be a request.
func (f *fixture) raw(ctx context.Context, method string, request []byte) error {
	stream, err := f.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Name() string                         { return "proto" }

// streamError opens a stream that must fail before its first message.
func (f *fixture) streamError(ctx context.Context, req *cairnv1.StreamCommitsRequest) error {
	stream, err := f.blocks.StreamCommits(ctx, req)
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// follow opens a stream that must begin.
func (f *fixture) follow(ctx context.Context, req *cairnv1.StreamCommitsRequest) grpc.ServerStreamingClient[cairnv1.StreamCommitsResponse] {
	f.t.Helper()
	stream, err := f.blocks.StreamCommits(ctx, req)
	if err != nil {
		f.t.Fatal(err)
	}
	if header, err := stream.Header(); err != nil || header == nil {
		_, err := stream.Recv()
		f.t.Fatalf("the stream does not begin: %v", err)
	}
	return stream
}
