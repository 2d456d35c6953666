//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a user sees when a node does not start: an exit code, what is wrong, and what to do.
func TestStartRefusals(t *testing.T) {
	b := newBed(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	b.ask(&struct{}{}, "testnet", "--validators", "1", "--output", b.path("other"))
	write := func(content string, names ...string) func(*testing.T, string) {
		return func(t *testing.T, home string) {
			for _, name := range names {
				if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	replace := func(name, old, now string) func(*testing.T, string) {
		return func(t *testing.T, home string) {
			raw, err := os.ReadFile(filepath.Join(home, name))
			if err != nil || !strings.Contains(string(raw), old) {
				t.Fatalf("%s: %v: %s", name, err, raw)
			}
			write(strings.Replace(string(raw), old, now, 1), name)(t, home)
		}
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, home string)
		flags []string
		code  int
		says  []string
	}{
		{"busy port", nil, []string{"--rest-address", busy.Addr().String()}, 17,
			[]string{busy.Addr().String(), "in use", "--rest-address", "config.yaml"}},
		{"safety files missing", func(t *testing.T, home string) {
			if err := os.RemoveAll(filepath.Join(home, "safety")); err != nil {
				t.Fatal(err)
			}
		}, nil, 11, []string{"safety"}},
		{"safety files damaged", write("x", "safety/safety.a", "safety/safety.b"), nil, 12, []string{"safety"}},
		{"genesis of another chain", func(t *testing.T, home string) {
			raw, err := os.ReadFile(b.path("other", "node0", "genesis.json"))
			if err != nil {
				t.Fatal(err)
			}
			write(string(raw), "genesis.json")(t, home)
		}, nil, 21, []string{"validator.json", "is of no validator", "use the home"}},
		{"genesis changed", replace("genesis.json", `"minimumFee": 1`, `"minimumFee": 2`), nil, 14, []string{"genesis"}},
		{"genesis that is none", write("{}", "genesis.json"), nil, 20, []string{"genesis"}},
		{"key readable by others", func(t *testing.T, home string) {
			if err := os.Chmod(filepath.Join(home, "validator.json"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, nil, 21, []string{"chmod 600"}},
		{"key that is none", write("{}", "validator.json"), nil, 21, []string{"validator.json"}},
		{"setting misspelt", write("rest:\n  adress: x\n", "config.yaml"), nil, 19, []string{"rest.address?"}},
		{"no home", func(t *testing.T, home string) {
			if err := os.RemoveAll(home); err != nil {
				t.Fatal(err)
			}
		}, nil, 18, []string{"cairn testnet"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "net")
			b.ask(&struct{}{}, "testnet", "--validators", "1", "--output", dir, "--peer-port", "7070",
				"--rest-port", "0", "--rpc-port", "0", "--metrics-port", "0")
			home := filepath.Join(dir, "node0")
			if test.spoil != nil {
				test.spoil(t, home)
			}
			args := append([]string{"start", "--home", home, "--peer-address", "127.0.0.1:0"}, test.flags...)
			o := b.cairn(args...)
			t.Logf("exit %d: %s", o.code, o.errOut)
			if o.code != test.code || o.out != "" {
				t.Errorf("exit %d, want %d; on standard output: %s", o.code, test.code, o.out)
			}
			for _, word := range test.says {
				if !strings.Contains(o.errOut, word) {
					t.Errorf("it does not say %q", word)
				}
			}
		})
	}
}

// A home serves one process at a time.
func TestSecondStartOnOneHome(t *testing.T) {
	n := newTestnet(newBed(t))
	n.startAll()
	o := n.cairn("start", "--home", n.members[0].home, "--rest-address", "127.0.0.1:0", "--rpc-address", "127.0.0.1:0",
		"--metrics-address", "127.0.0.1:0", "--peer-address", "127.0.0.1:0")
	if o.code != 10 || !strings.Contains(o.errOut, n.members[0].home) || !strings.Contains(o.errOut, "stop that process") {
		t.Errorf("exit %d: %s%s", o.code, o.out, o.errOut)
	}
	// The first is none the worse.
	var answer submitted
	tx := n.alice.transfer(n.chainID, 0, 1, output{n.bob.address, 1})
	if _, err := call(t.Context(), n.members[0].rest+"/v1/transactions", tx.request("10s"), &answer); err != nil ||
		answer.State != "COMMITTED" {
		t.Errorf("%v, %+v", err, answer)
	}
}
