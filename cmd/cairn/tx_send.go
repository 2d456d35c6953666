package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
)

// defaultWait is how long --wait without a value waits.
const defaultWait = "10s"

// addWait adds --wait, which needs no value.
func addWait(flags *pflag.FlagSet, help string) *time.Duration {
	wait := flags.Duration("wait", 0, help)
	flags.Lookup("wait").NoOptDefVal = defaultWait
	return wait
}

func (c *cli) txSendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "send --from NAME --to ADDRESS|NAME --amount N", Short: "Sign a transfer and post it",
		Example: "  cairn tx send --from alice --to bob --amount 5 --wait", Args: noArgs(),
	}
	n := c.addConnection(cmd)
	f := n.addTransfer(cmd)
	wait := addWait(cmd.Flags(), "wait for the commit, --wait="+defaultWait+" unless it says how long")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return n.call(cmd.Context(), *wait, func(ctx context.Context, node *client.Client) error {
			signed, err := f.sign(ctx, node)
			if err != nil {
				return err
			}
			answer, err := node.Submit(ctx, signed, *wait)
			if err != nil && client.ReasonOf(err) == cairnv1.ErrorReason_UNSPECIFIED { // no answer: the node may have it
				return fmt.Errorf("transaction %s may have arrived and be committed yet; before you repeat it ask: cairn tx get %s\n%w",
					signed.ID, signed.ID, err)
			}
			if err != nil {
				return err
			}
			if err := c.print(answer, func(w *bytes.Buffer) { printSubmitted(w, answer) }); err != nil {
				return err
			}
			return outcomeOf(answer, *wait)
		})
	}
	return cmd
}

func printSubmitted(w *bytes.Buffer, a *cairnv1.SubmitTransactionResponse) {
	printRows(w, append([]row{{"transaction", a.GetId()}, {"state", a.GetState().String()}},
		fateRows(a.GetReceipt(), a.GetRejection())...)...)
}

// outcomeOf makes an error of what is not what the user asked for.
func outcomeOf(a *cairnv1.SubmitTransactionResponse, wait time.Duration) error {
	switch a.GetState() {
	case cairnv1.TransactionState_COMMITTED:
		if code := a.GetReceipt().GetCode(); code != cairnv1.ReceiptCode_OK {
			return &outcomeError{exitRejected, fmt.Sprintf("the transaction was committed and its transfer failed: %s", code)}
		}
	case cairnv1.TransactionState_PENDING:
		if wait > 0 {
			return &outcomeError{exit{exitUnavailable.Code, exitUnavailable.Meaning, "ask again with cairn tx get " + a.GetId()},
				fmt.Sprintf("the transaction is still pending after %v; cairn status may say why", wait)}
		}
	default:
		return &outcomeError{exitRejected, fmt.Sprintf("the transaction was dropped: %s", a.GetState())}
	}
	return nil
}

func (c *cli) txSignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sign --from NAME --to ADDRESS|NAME --amount N", Short: "Sign a transfer and print the body to POST",
		Long: "Sign a transfer and print, on one line, the JSON to post to /v1/transactions. The node is asked for the chain id,\n" +
			"the sequence and the fee, unless --chain-id, --sequence and --fee give them.",
		Example: "  cairn tx sign --from alice --to bob --amount 5 | curl -d @- http://127.0.0.1:8080/v1/transactions",
		Args:    noArgs(),
	}
	n := c.addConnection(cmd)
	f := n.addTransfer(cmd)
	offline := cmd.Flags().Bool("offline", false, "ask no node: --chain-id, --sequence and --fee are needed")
	wait := addWait(cmd.Flags(), "have the answer to the post wait for the commit, --wait="+defaultWait+" unless it says how long")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := f.chainID != "" && cmd.Flags().Changed("sequence") && cmd.Flags().Changed("fee")
		if *offline && !given {
			return usagef("--offline needs --chain-id, --sequence and --fee")
		}
		sign := func(ctx context.Context, node *client.Client) error {
			signed, err := f.sign(ctx, node)
			if err != nil {
				return err
			}
			request := &cairnv1.SubmitTransactionRequest{Transaction: signed.Transaction}
			if *wait > 0 {
				request.Wait = durationpb.New(*wait)
			}
			line, err := jsonLine(request)
			if err != nil {
				return err
			}
			_, err = c.out.Write(line)
			return err
		}
		if given {
			return sign(cmd.Context(), nil)
		}
		return n.call(cmd.Context(), 0, sign)
	}
	return cmd
}

func parseAmount(text string) (uint64, error) {
	amount, err := strconv.ParseUint(text, 10, 64)
	if err != nil || amount == 0 {
		return 0, usagef("--amount: %q is no number of base units above 0", text)
	}
	return amount, nil
}
