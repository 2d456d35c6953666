package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/node"
)

// The command says what it did, or by which code it did not.
func TestRepairCommand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	invoke := func(args ...string) (int, string, string) {
		var out, errOut strings.Builder
		code := run(t.Context(), args, &out, &errOut)
		return code, out.String(), errOut.String()
	}
	if code, _, said := invoke("testnet", "--validators", "1", "--output", dir, "--peer-port", "7070"); code != 0 {
		t.Fatal(said)
	}
	home := node.Home(filepath.Join(dir, "node0"))
	if code, _, said := invoke("repair", "--home", string(home)); code != exitFailure.Code || !strings.Contains(said, "there is no database") {
		t.Errorf("without a database: exit %d: %s", code, said)
	}
	settings, err := node.LoadSettings(home.SettingsFile(), nil)
	if err != nil {
		t.Fatal(err)
	}
	settings.RPC.Address, settings.REST.Address, settings.Metrics.Address, settings.Peer.Address = "127.0.0.1:0", "127.0.0.1:0", "", "127.0.0.1:0"
	n, err := node.New(node.Options{Home: home, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, said := invoke("repair", "--home", string(home)); code != exitLocked.Code {
		t.Errorf("of a node that runs: exit %d: %s", code, said)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, said := invoke("repair", "--home", string(home))
	if code != 0 || out != "The database is whole up to height 0. Nothing was changed.\n" {
		t.Errorf("of a whole one: exit %d: %s%s", code, out, said)
	}
	if err := os.Remove(filepath.Join(home.DataDir(), "CURRENT")); err != nil {
		t.Fatal(err)
	}
	code, out, said = invoke("repair", "--home", string(home), "-o", "json")
	var result struct{ Outcome, Height, Differs, Old string }
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != 0 || result.Outcome != "repaired" || result.Height != "0" ||
		result.Differs == "" || result.Old != home.DataDir()+".damaged-1" {
		t.Errorf("of a damaged one: exit %d: %s%s", code, out, said)
	}
	if err := os.RemoveAll(home.DataDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if code, _, said := invoke("repair", "--home", string(home)); code != exitCorrupt.Code || !strings.Contains(said, "Move this folder away") {
		t.Errorf("beyond repair: exit %d: %s", code, said)
	}
}
