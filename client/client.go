// Package client is the Go SDK of a Cairn node's public API: it signs and submits transactions, waits for their commit,
// reads accounts and blocks, and follows commits across disconnections.
//
// Answers are the messages of cairn.v1, as REST and the command line show them. Every failed call gives an *Error with
// the reason that the node named.
package client

import (
	"context"
	"crypto/tls"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// maxAnswer bounds one message of a node, in bytes: a full block of 2 MiB comes with its transactions decoded beside
// their bytes, and with keys and signatures as hex.
const maxAnswer = 32 << 20

// window is how many bytes a node may send ahead on a stream, or on the connection: all but the largest blocks in one go.
// Without a fixed one gRPC looks for the best by itself, and sends the node a ping for nearly every message.
const window = 4 << 20

// Client is a connection to one node. Safe for concurrent use.
type Client struct {
	conn         *grpc.ClientConn
	transactions cairnv1.TransactionServiceClient
	accounts     cairnv1.AccountServiceClient
	blocks       cairnv1.BlockServiceClient
	node         cairnv1.NodeServiceClient
	faucet       cairnv1.FaucetServiceClient
}

// Dial makes a client of the node at endpoint. It connects with the first call, so a node that does not answer is an
// error of calls, not of Dial.
//
// The endpoint is https://host:port (TLS by the system's roots), http://host:port (no TLS), or host:port: then TLS,
// unless the host is this machine. The options come behind those that the endpoint implies and prevail over them, such
// as other transport credentials.
func Dial(endpoint string, opts ...grpc.DialOption) (*Client, error) {
	conn, err := Connect(endpoint, opts...)
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}

// Connect makes the connection of Dial alone, for whoever speaks the API by itself. It belongs to the caller, who closes
// it.
func Connect(endpoint string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	target, secure, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if secure {
		creds = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13})
	}
	all := append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	}, opts...)
	conn, err := grpc.NewClient("passthrough:///"+target, all...)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", endpoint, err)
	}
	return conn, nil
}

// New makes a client of a connection, which Close of the client closes.
func New(conn *grpc.ClientConn) *Client {
	return &Client{
		conn:         conn,
		transactions: cairnv1.NewTransactionServiceClient(conn),
		accounts:     cairnv1.NewAccountServiceClient(conn),
		blocks:       cairnv1.NewBlockServiceClient(conn),
		node:         cairnv1.NewNodeServiceClient(conn),
		faucet:       cairnv1.NewFaucetServiceClient(conn),
	}
}

// Close ends all calls.
func (c *Client) Close() error { return c.conn.Close() }

// Account reads an account by its address.
func (c *Client) Account(ctx context.Context, address string) (*cairnv1.Account, error) {
	out, err := c.accounts.GetAccount(ctx, &cairnv1.GetAccountRequest{Address: address})
	return out, wrap(err)
}

// Transaction says where a transaction stands, by its id.
func (c *Client) Transaction(ctx context.Context, id string) (*cairnv1.Transaction, error) {
	out, err := c.transactions.GetTransaction(ctx, &cairnv1.GetTransactionRequest{Id: id})
	return out, wrap(err)
}

// LatestBlock reads the newest committed block.
func (c *Client) LatestBlock(ctx context.Context) (*cairnv1.Block, error) {
	out, err := c.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{})
	return out, wrap(err)
}

// Block reads the committed block of a height.
func (c *Client) Block(ctx context.Context, height uint64) (*cairnv1.Block, error) {
	out, err := c.blocks.GetBlock(ctx,
		&cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Height{Height: height}})
	return out, wrap(err)
}

// BlockByID reads the committed block of an id, 64 lower-case hex digits.
func (c *Client) BlockByID(ctx context.Context, id string) (*cairnv1.Block, error) {
	out, err := c.blocks.GetBlock(ctx, &cairnv1.GetBlockRequest{Selector: &cairnv1.GetBlockRequest_Id{Id: id}})
	return out, wrap(err)
}

// Chain reads the parameters of the chain.
func (c *Client) Chain(ctx context.Context) (*cairnv1.Chain, error) {
	out, err := c.node.GetChain(ctx, &cairnv1.GetChainRequest{})
	return out, wrap(err)
}

// Status reads how the node fares and, when nothing commits, why.
func (c *Client) Status(ctx context.Context) (*cairnv1.NodeStatus, error) {
	out, err := c.node.GetStatus(ctx, &cairnv1.GetStatusRequest{})
	return out, wrap(err)
}

// SyncStatus reads how far the node has caught up.
func (c *Client) SyncStatus(ctx context.Context) (*cairnv1.SyncStatus, error) {
	out, err := c.node.GetSyncStatus(ctx, &cairnv1.GetSyncStatusRequest{})
	return out, wrap(err)
}

// Validators reads the present validator set.
func (c *Client) Validators(ctx context.Context) (*cairnv1.ValidatorSet, error) {
	out, err := c.node.GetValidatorSet(ctx, &cairnv1.GetValidatorSetRequest{})
	return out, wrap(err)
}

// RequestFunds asks the faucet of a devnet for funds; amount 0 is its usual one.
func (c *Client) RequestFunds(ctx context.Context, address string, amount uint64) (*cairnv1.RequestFundsResponse, error) {
	out, err := c.faucet.RequestFunds(ctx, &cairnv1.RequestFundsRequest{Address: address, Amount: amount})
	return out, wrap(err)
}
