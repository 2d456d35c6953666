package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node"
)

func (c *cli) startCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "start", Short: "Run the node of a home",
		Long: "Run the node of a home, which cairn testnet or cairn init made. The result on standard output comes when the node listens;\n" +
			"log lines go to standard error. Ctrl-C stops it. Why it does not start is told by its exit code: see\n" +
			"cairn help exit-codes.",
		Example: "  cairn start --home ./testnet/node0", Args: noArgs(),
	}
	c.addHome(cmd, "folder of the node")
	retry := cmd.Flags().Bool("retry-height", false, "start even though the node ended again and again at this height")
	node.AddSettingFlags(cmd.Flags(), nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		home, err := filepath.Abs(c.home)
		if err != nil {
			return err
		}
		// The genesis document first: its absence says best what is wrong with a folder.
		if _, err := node.Home(home).Genesis(); err != nil {
			return err
		}
		settings, err := node.LoadSettings(node.Home(home).SettingsFile(), cmd.Flags())
		if err != nil {
			return err
		}
		logger := newLogger(c.errOut, settings.Log)
		opts, err := observed(node.Options{Home: node.Home(home), Settings: settings, Logger: logger, RetryHeight: *retry})
		if err != nil {
			return err
		}
		n, err := node.New(opts)
		if err != nil {
			return err
		}
		calm, err := node.Home(home).CatchPanics(func(f *os.File) error { return debug.SetCrashOutput(f, debug.CrashOptions{}) })
		if err != nil {
			return errors.Join(err, n.Close())
		}
		if err := c.announce(n, home); err != nil {
			return errors.Join(err, n.Close())
		}
		for _, s := range settings.Redacted() {
			logger.Debug("setting", "key", s.Key, "value", s.Value)
		}
		return errors.Join(untilStopped(cmd.Context(), n.Run), node.RemoveEndpoints(home), calm())
	}
	return cmd
}

// announce says where the node listens, to the user and to client commands.
func (c *cli) announce(n *node.Node, home string) error {
	running := node.Running{ChainID: n.ChainID(), Nodes: []node.RunningNode{n.Describe()}, Wallets: []node.WalletAddress{}}
	if err := node.SaveEndpoints(home, running); err != nil {
		return err
	}
	return c.print(running, func(w *bytes.Buffer) {
		r := running.Nodes[0]
		fmt.Fprintf(w, "%s of chain %s listens\n\n", r.Name, running.ChainID)
		printRows(w, row{"REST", r.REST}, row{"gRPC", r.RPC}, row{"metrics", r.Metrics}, row{"home", r.Home})
	})
}

// stopGrace is how long a node may take to stop.
const stopGrace = 5 * time.Second

// untilStopped runs what ends with ctx. That ctx ended is no error; that it did not stop in time is one.
func untilStopped(ctx context.Context, run func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case err = <-done:
		case <-grace.C:
			return fmt.Errorf("did not stop within %v; what is on disk is safe", stopGrace)
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// newLogger writes log lines as the settings say. They were validated.
func newLogger(w io.Writer, s node.LogSettings) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.Level)); err != nil {
		panic(fmt.Sprintf("log.level %q: %v", s.Level, err))
	}
	opts := &slog.HandlerOptions{Level: level}
	if s.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
