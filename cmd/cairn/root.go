package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// cli is one invocation: where it writes, and the flags that many commands share.
type cli struct {
	out, errOut io.Writer
	format      format
	home        string
}

// run carries out one command line and returns the exit code. Results go to out, everything else to errOut.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	c := &cli{out: out, errOut: errOut, format: formatText}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err != nil {
		c.printError(err)
	}
	return exitOf(err).Code
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cairn",
		Short: "A node of a Cairn chain, and its tools",
		Long: `A node of a Cairn chain, and its tools.

  cairn devnet                                                    a chain of four validators on this machine
  cairn tx send --from alice --to bob --amount 5 --wait           move value, and wait for the commit
  cairn watch                                                     follow commits`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().VarP(&c.format, "format", "o", "how results are printed: text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(
		c.devnetCommand(), c.testnetCommand(), c.initCommand(), c.startCommand(), c.keysCommand(), c.txCommand(), c.accountCommand(), c.blockCommand(), c.watchCommand(),
		c.statusCommand(), c.mempoolCommand(), c.evidenceCommand(), c.genesisCommand(), c.configCommand(), c.repairCommand(), c.loadCommand(), c.simCommand(), c.replayCommand(), c.versionCommand(), exitCodesTopic(),
	)
	return root
}

// addHome adds --home to a command.
func (c *cli) addHome(cmd *cobra.Command, help string) {
	cmd.Flags().StringVar(&c.home, "home", defaultHome(), help+" (CAIRN_HOME)")
}

// defaultHome is one folder for devnet and every client command, so that none of them needs a flag.
func defaultHome() string {
	if home := os.Getenv("CAIRN_HOME"); home != "" {
		return home
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(".cairn", "devnet")
	}
	return filepath.Join(user, ".cairn", "devnet")
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

// oneArg wants exactly one argument, which the error calls by its name.
func oneArg(name string) cobra.PositionalArgs {
	return usageArgs(func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("want one argument, %s, got %d", name, len(args))
		}
		return nil
	})
}

// noArgs wants no argument; a value that was set apart from its flag is the usual mistake.
func noArgs() cobra.PositionalArgs {
	return usageArgs(func(_ *cobra.Command, args []string) error {
		if len(args) != 0 {
			return fmt.Errorf("unexpected argument %s (is it the value of a flag? write --flag=%s)",
				strings.Join(args, " "), args[0])
		}
		return nil
	})
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}
