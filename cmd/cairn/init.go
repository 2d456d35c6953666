package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/keys"
)

func (c *cli) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init --home DIR --genesis FILE --upstream-addresses HOST:PORT,…",
		Short: "Make the home of a listener: a node that follows a chain without a vote",
		Long: "Make the home of a listener of an existing chain: a new key, the genesis document, and the settings that are given\n" +
			"as flags. Validators are made together with their chain, by cairn testnet.",
		Example: "  cairn init --home ./listener --genesis ./testnet/node0/genesis.json --upstream-addresses 127.0.0.1:9090\n" +
			"  cairn start --home ./listener",
		Args: noArgs(),
	}
	c.addHome(cmd, "folder to make, or an empty one")
	genesis := cmd.Flags().String("genesis", "", "file of the chain's genesis document, from whom you trust")
	node.AddSettingFlags(cmd.Flags(), func(key string) bool { return key != "peer.address" })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("home") || *genesis == "" {
			return usagef("want --home, the folder to make, and --genesis, the chain's document")
		}
		home, err := filepath.Abs(c.home)
		if err != nil {
			return err
		}
		settings, err := node.LoadSettings("", cmd.Flags())
		if err != nil {
			return err
		}
		if len(settings.Upstream.Addresses) == 0 {
			return usagef("want --upstream-addresses, the nodes to follow")
		}
		return c.initListener(home, *genesis, settings)
	}
	return cmd
}

func (c *cli) initListener(dir, genesis string, settings node.Settings) error {
	document, err := node.LoadGenesis(genesis)
	if err != nil {
		return err
	}
	passphrase, err := settings.Passphrase()
	if err != nil {
		return err
	}
	key, err := keys.NewValidator()
	if err != nil {
		return err
	}
	home, err := node.InitHome(dir, node.HomeOptions{
		Genesis: document, Key: key, Passphrase: passphrase, Settings: settings, Listener: true,
	})
	if err != nil {
		return err
	}
	result := struct {
		ChainID string `json:"chainId"`
		Home    string `json:"home"`
		ID      string `json:"id"`
	}{document.ChainID, string(home), key.ID().String()}
	return c.print(result, func(w *bytes.Buffer) {
		printRows(w, row{"chain", result.ChainID}, row{"home", result.Home}, row{"id", result.ID})
		fmt.Fprintf(w, "\nStart it:\n\n  cairn start --home %s\n", result.Home)
	})
}
