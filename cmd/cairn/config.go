package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
)

func (c *cli) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check", Short: "Check the settings of a node's home and show them, without secrets", Args: noArgs(),
	}
	c.addHome(check, "folder of the node")
	node.AddSettingFlags(check.Flags(), nil)
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := node.LoadSettings(node.Home(c.home).SettingsFile(), cmd.Flags())
		if err != nil {
			return err
		}
		values := map[string]string{}
		var rows []row
		for _, s := range settings.Redacted() {
			values[s.Key] = s.Value
			rows = append(rows, row{s.Key, s.Value})
		}
		return c.print(values, func(w *bytes.Buffer) { printRows(w, rows...) })
	}
	docs := &cobra.Command{
		Use: "docs", Short: "Print the table of all settings, in Markdown", Args: noArgs(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(c.out, node.SettingsTable())
			return err
		},
	}
	return group("config", "Work with the settings of a node", check, docs)
}
