package main

import (
	"bytes"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/cairnchain/cairn/node/keys"
)

func (c *cli) keysCommand() *cobra.Command {
	return group("keys", "Make and show the keys of wallets", c.keysNewCommand(), c.keysListCommand(), c.keysShowCommand())
}

// keyReport is what is shown of a key.
type keyReport struct {
	Name      string `json:"name"`
	Address   string `json:"address"`
	PublicKey string `json:"publicKey"`
	Encrypted bool   `json:"encrypted"`
	File      string `json:"file"`
}

func reportOf(name string, file keys.File) keyReport {
	return keyReport{name, file.Label, file.PublicKey.String(), !file.Plain, file.Path}
}

func (r keyReport) print(w *bytes.Buffer) {
	printRows(w, row{"name", r.Name}, row{"address", r.Address}, row{"public key", r.PublicKey},
		row{"secret", r.protection()}, row{"file", r.File})
}

func (r keyReport) protection() string {
	if r.Encrypted {
		return "encrypted"
	}
	return "plain, for devnets only"
}

func (c *cli) keysListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the wallets", Args: noArgs()}
	n := c.addConnection(cmd)
	hideConnection(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		names, err := n.home().Wallets.Names()
		if err != nil {
			return err
		}
		reports, table := []keyReport{}, [][]string{{"NAME", "ADDRESS", "SECRET"}}
		for _, name := range names {
			file, err := n.wallet(name)
			if err != nil {
				return err
			}
			report := reportOf(name, file)
			reports = append(reports, report)
			table = append(table, []string{name, report.Address, report.protection()})
		}
		return c.print(reports, func(w *bytes.Buffer) { printTable(w, table) })
	}
	return cmd
}

func (c *cli) keysShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a wallet; never its secret", Args: oneArg("the name of a wallet")}
	n := c.addConnection(cmd)
	hideConnection(cmd)
	cmd.ValidArgsFunction = n.completeWallets
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		file, err := n.wallet(args[0])
		if err != nil {
			return err
		}
		report := reportOf(args[0], file)
		return c.print(report, report.print)
	}
	return cmd
}

func (c *cli) keysNewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Make the key of a new wallet",
		Long: "Make the key of a new wallet in --home. The secret is encrypted under the passphrase in --passphrase-file; in\n" +
			"a devnet, or with --plain, it may stand in its file as it is, readable by the owner only.",
		Example: "  cairn keys new carol", Args: oneArg("the name of the new wallet"),
	}
	n := c.addConnection(cmd)
	hideConnection(cmd)
	passphraseFile := cmd.Flags().String("passphrase-file", "", "file with the passphrase that encrypts the secret")
	plain := cmd.Flags().Bool("plain", false, "do not encrypt the secret: for devnets only")
	prefix := cmd.Flags().String("prefix", "", "prefix of the address; default: the one of the chain in --home, else cairn")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		home := n.home()
		if *passphraseFile == "" && !*plain && !home.PlainOK {
			return usagef("give --passphrase-file, or --plain for a key that is worth nothing: %s is not of a devnet", c.home)
		}
		if *prefix == "" {
			*prefix = home.Prefix
		}
		file, err := createWallet(home.Wallets, args[0], *passphraseFile, *prefix)
		if err != nil {
			return err
		}
		report := reportOf(args[0], file)
		return c.print(report, report.print)
	}
	return cmd
}

func createWallet(folder keys.Folder, name, passphraseFile, prefix string) (keys.File, error) {
	path, err := folder.Path(name)
	if err != nil {
		return keys.File{}, err
	}
	passphrase, err := openPassphrase(passphraseFile)
	if err != nil {
		return keys.File{}, err
	}
	key, err := keys.NewWallet(prefix)
	if err != nil {
		return keys.File{}, err
	}
	if err := os.MkdirAll(string(folder), 0o700); err != nil {
		return keys.File{}, err
	}
	if passphrase.IsZero() {
		err = keys.CreatePlain(path, key)
	} else {
		err = keys.CreateEncrypted(path, key, passphrase)
	}
	if errors.Is(err, keys.ErrExists) {
		return keys.File{}, &usageError{err}
	}
	if err != nil {
		return keys.File{}, err
	}
	return folder.Read(name)
}

// hideConnection hides the flags of a node from commands that only look into --home.
func hideConnection(cmd *cobra.Command) {
	for _, name := range []string{"rpc", "timeout"} {
		cmd.Flags().Lookup(name).Hidden = true
	}
}
