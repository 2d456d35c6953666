package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

func (c *cli) txCommand() *cobra.Command {
	return group("tx", "Sign, send and look up transactions", c.txSendCommand(), c.txSignCommand(), c.txGetCommand(), c.txWatchCommand())
}

// transferFlags are the flags of a transfer.
type transferFlags struct {
	connection     *connection
	from           string
	to             []string
	amounts        []string
	fee            uint64
	sequence       uint64
	chainID        string
	memo           string
	expiresIn      time.Duration
	passphraseFile string
	cmd            *cobra.Command
}

func (n *connection) addTransfer(cmd *cobra.Command) *transferFlags {
	f, flags := &transferFlags{connection: n, cmd: cmd}, cmd.Flags()
	flags.StringVar(&f.from, "from", "", "name of the wallet that pays and signs")
	flags.StringArrayVar(&f.to, "to", nil, "address or name of a wallet; may be repeated, each with its --amount")
	flags.StringArrayVar(&f.amounts, "amount", nil, "how much it receives, in base units")
	flags.Uint64Var(&f.fee, "fee", 0, "what to pay for inclusion, in base units; default: the chain's least fee")
	flags.Uint64Var(&f.sequence, "sequence", 0, "the account's next sequence; default: ask the node")
	flags.StringVar(&f.chainID, "chain-id", "", "id of the chain; default: ask the node")
	flags.StringVar(&f.memo, "memo", "", "free text of at most 256 bytes")
	flags.DurationVar(&f.expiresIn, "expires-in", 0, "how long from now the transaction may be committed; default: for ever")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase of the wallet, if its key is encrypted")
	for _, name := range []string{"from", "to"} {
		if err := cmd.RegisterFlagCompletionFunc(name, n.completeWallets); err != nil {
			panic(err) // the flags were just added
		}
	}
	return f
}

// sign makes the signed transaction. It asks the node only for what no flag gives.
func (f *transferFlags) sign(ctx context.Context, node *client.Client) (*client.Signed, error) {
	wallet, draft, err := f.open()
	if err != nil {
		return nil, err
	}
	if node == nil {
		signed, err := wallet.Sign(draft.Transfer)
		return signed, asUsage(err)
	}
	signed, err := node.BuildTransfer(ctx, wallet, draft)
	return signed, asUsage(err)
}

// asUsage makes what the chain would refuse about a transfer a usage error; errors of calls stay what they are.
func asUsage(err error) error {
	if call := (*client.Error)(nil); err == nil || errors.As(err, &call) {
		return err
	}
	return &usageError{err}
}

// open reads the flags and the wallet.
func (f *transferFlags) open() (*client.Wallet, client.Draft, error) {
	draft := client.Draft{
		Transfer:    client.Transfer{ChainID: f.chainID, Sequence: f.sequence, Fee: f.fee, Memo: f.memo},
		AskSequence: !f.cmd.Flags().Changed("sequence"),
		AskFee:      !f.cmd.Flags().Changed("fee"),
	}
	if f.from == "" || len(f.to) == 0 || len(f.to) != len(f.amounts) {
		return nil, draft, usagef("want --from, and for each --to its --amount")
	}
	if f.expiresIn < 0 {
		return nil, draft, usagef("--expires-in: %v is negative", f.expiresIn)
	}
	if f.expiresIn > 0 {
		draft.ExpiresAt = time.Now().Add(f.expiresIn)
	}
	for i, to := range f.to {
		address, err := f.connection.address(to)
		if err != nil {
			return nil, draft, err
		}
		amount, err := parseAmount(f.amounts[i])
		if err != nil {
			return nil, draft, err
		}
		draft.Outputs = append(draft.Outputs, client.Output{To: address, Amount: amount})
	}
	file, err := f.connection.wallet(f.from)
	if err != nil {
		return nil, draft, err
	}
	passphrase, err := openPassphrase(f.passphraseFile)
	if err != nil {
		return nil, draft, err
	}
	key, err := file.Unlock(passphrase)
	if err != nil {
		return nil, draft, err
	}
	return client.NewWallet(key.Private(), key.Prefix()), draft, nil
}

func (c *cli) txGetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show a transaction and where it stands", Args: oneArg("the id of a transaction")}
	n := c.addConnection(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return n.call(cmd.Context(), 0, func(ctx context.Context, node *client.Client) error {
			tx, err := node.Transaction(ctx, args[0])
			if err != nil {
				return err
			}
			return c.print(tx, func(w *bytes.Buffer) { printTransaction(w, tx) })
		})
	}
	return cmd
}

func printTransaction(w *bytes.Buffer, tx *cairnv1.Transaction) {
	printRows(w, append([]row{{"transaction", tx.GetId()}, {"state", tx.GetState().String()}},
		append(bodyRows(tx.GetDecoded()), fateRows(tx.GetReceipt(), tx.GetRejection())...)...)...)
}

func bodyRows(body *cairnv1.TransactionBody) []row {
	if body == nil {
		return nil
	}
	rows := []row{{"chain", body.GetChainId()}, {"sender", body.GetSender()}, {"sequence", number(body.GetSequence())},
		{"fee", number(body.GetFee())}}
	if at := body.GetExpiresAt(); at != 0 {
		rows = append(rows, row{"expires", time.UnixMilli(at).UTC().Format("2006-01-02 15:04:05.000 UTC")})
	}
	for _, o := range body.GetTransfer().GetOutputs() {
		rows = append(rows, row{"pays", o.GetTo() + " " + number(o.GetAmount())})
	}
	// A memo is anybody's text: no control characters reach the terminal.
	return append(rows, row{"memo", strings.Map(printable, body.GetMemo())})
}

func printable(r rune) rune {
	if r < ' ' || (r >= 0x7f && r < 0xa0) {
		return '\uFFFD'
	}
	return r
}

// fateRows tell what became of a transaction.
func fateRows(receipt *cairnv1.Receipt, rejection *cairnv1.Rejection) []row {
	var rows []row
	if receipt != nil {
		outcome := receipt.GetCode().String()
		if receipt.GetMessage() != "" {
			outcome += ": " + receipt.GetMessage()
		}
		rows = append(rows, row{"outcome", outcome}, row{"fee paid", number(receipt.GetFeeCharged())},
			row{"height", number(receipt.GetHeight())}, row{"index", number(receipt.GetIndex())},
			row{"block", receipt.GetBlockId()})
	}
	if rejection != nil {
		rows = append(rows, row{"reason", rejection.GetReason().String() + ": " + rejection.GetMessage()})
	}
	return rows
}
