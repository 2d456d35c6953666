package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show what this program was built from", Args: noArgs(),
		RunE: func(*cobra.Command, []string) error {
			build := node.ThisBuild()
			return c.print(build, func(w *bytes.Buffer) {
				printRows(w, row{"version", build.Version}, row{"commit", build.Commit}, row{"go", build.Go})
			})
		},
	}
}
