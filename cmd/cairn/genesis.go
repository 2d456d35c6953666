package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
)

func (c *cli) genesisCommand() *cobra.Command {
	validate := &cobra.Command{
		Use: "validate FILE", Short: "Check a genesis document and show what chain it makes",
		Args: oneArg("the file of a genesis document"),
		RunE: func(_ *cobra.Command, args []string) error {
			document, err := node.LoadGenesis(args[0])
			if err != nil {
				return err
			}
			if err := document.ValidateLedger(); err != nil {
				return err
			}
			genesis, err := document.Genesis()
			if err != nil {
				return err
			}
			result := struct {
				ChainID     string `json:"chainId"`
				GenesisHash string `json:"genesisHash"`
				Validators  int    `json:"validators"`
			}{genesis.ChainID, genesis.Hash().String(), genesis.Validators.Len()}
			return c.print(result, func(w *bytes.Buffer) {
				printRows(w, row{"chain", result.ChainID}, row{"genesis hash", result.GenesisHash},
					row{"validators", number(result.Validators)})
			})
		},
	}
	return group("genesis", "Work with genesis documents", validate)
}
