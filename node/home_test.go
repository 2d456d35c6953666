package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

func devnetOptions() NetworkOptions {
	return NetworkOptions{Kind: Devnet, Faucet: true, Now: time.Date(2026, 1, 1, 0, 0, 0, 123456789, time.UTC)}
}

func TestWriteTestnet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "devnet")
	n, err := WriteTestnet(dir, devnetOptions())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(n.ChainID, "devnet-") || len(n.ChainID) != len("devnet-")+6 || len(n.Homes()) != 4 {
		t.Errorf("%+v", n)
	}
	var first *consensus.Genesis
	for i, home := range n.Homes() {
		genesis := checkHome(t, home, i)
		if first == nil {
			first = genesis
		}
		if genesis.Hash() != first.Hash() || genesis.ChainID != n.ChainID {
			t.Errorf("%s is of another chain", home)
		}
	}
	l, err := ledger.New(first.ChainID, first.AppDocument, signature.NewEd25519())
	if err != nil {
		t.Fatal(err)
	}
	if p := l.Params(); !p.Faucet || p.MinimumFee != 1 || p.AddressPrefix != "cairn" {
		t.Errorf("%+v", p)
	}
	document, _ := ledger.ParseDocument(first.AppDocument)
	wallets, err := n.WalletAddresses()
	if err != nil || len(wallets) != 2 || wallets[0].Name != "alice" || wallets[1].Name != "bob" {
		t.Errorf("%v, %v", wallets, err)
	}
	for _, w := range wallets {
		if !slices.Contains(document.Accounts, ledger.GenesisAccount{Address: w.Address, Balance: walletBalance}) {
			t.Errorf("%s has no funds", w.Name)
		}
	}
	checkModes(t, dir)
	entries, _ := os.ReadDir(dir)
	if len(entries) != 6 {
		t.Errorf("%v", entries)
	}
}

func checkHome(t *testing.T, home Home, i int) *consensus.Genesis {
	t.Helper()
	document, err := home.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := document.Genesis()
	if err != nil {
		t.Fatal(err)
	}
	key, err := home.ValidatorKey(keys.Passphrase{})
	if err != nil {
		t.Fatal(err)
	}
	member, ok := genesis.Validators.Get(key.ID())
	if !ok || member.Name != fmt.Sprintf("node%d", i) || member.Key != key.Public() {
		t.Errorf("the key of %s is not in the set: %+v", home, member)
	}
	s, err := LoadSettings(home.SettingsFile(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Node.Name != member.Name || s.RPC.Address != fmt.Sprintf("127.0.0.1:%d", 9090+i) ||
		s.Peer.Address != fmt.Sprintf("127.0.0.1:%d", 7070+i) || len(s.REST.CORSOrigins) == 0 || len(s.Peers) != 3 ||
		s.RPC.SubmitRate != devnetSubmitRate || s.RPC.SubmitBurst != devnetSubmitRate {
		t.Errorf("%+v", s)
	}
	for _, p := range s.Peers {
		peerKey, err := p.Key()
		peer, ok := genesis.Validators.Get(consensus.IDOf(peerKey))
		if err != nil || !ok || peer.Name != p.Name || p.Name == member.Name {
			t.Errorf("peer %+v: %v", p, err)
		}
	}
	record, err := storage.OpenSafetyRecord(home.SafetyDir(),
		storage.RecordIdentity{ChainID: genesis.ChainID, Genesis: genesis.Hash(), Key: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	if err := record.Close(); err != nil {
		t.Error(err)
	}
	if _, err := home.FaucetKey(keys.Passphrase{}); err != nil {
		t.Error(err)
	}
	return genesis
}

// Secrets are readable by nobody else, wherever they lie.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	secrets := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %v", path, info.Mode())
			}
			return nil
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), `"secret"`) {
			secrets++
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v", path, info.Mode())
			}
		}
		return err
	})
	if err != nil || secrets != 10 {
		t.Errorf("%d secrets, %v", secrets, err)
	}
}

func TestEncryptedTestnet(t *testing.T) {
	dir := t.TempDir()
	n, err := WriteTestnet(dir, NetworkOptions{Kind: Testnet, ChainID: "mine", Validators: 1, Passphrase: keys.WeakPassphrase("p"), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	home := n.Homes()[0]
	if _, err := home.ValidatorKey(keys.Passphrase{}); !errors.Is(err, keys.ErrPassphraseNeeded) {
		t.Error(err)
	}
	if _, err := home.ValidatorKey(keys.WeakPassphrase("p")); err != nil {
		t.Error(err)
	}
	if _, err := home.FaucetKey(keys.WeakPassphrase("p")); !errors.Is(err, keys.ErrNotFound) {
		t.Error(err)
	}
	if file, err := n.Wallets().Read("alice"); err != nil || file.Plain {
		t.Errorf("%v, %v", file, err)
	}
}

func TestSecondStartContinues(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenOrWriteNetwork(dir, devnetOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, opts := range []NetworkOptions{{}, {Validators: 4}, {ChainID: first.ChainID}, {CommitRule: consensus.TwoChain}, {Election: consensus.Reputation}} {
		if again, err := OpenOrWriteNetwork(dir, opts); err != nil || again.ChainID != first.ChainID || len(again.Nodes) != 4 {
			t.Errorf("%+v: %+v, %v", opts, again, err)
		}
	}
	for _, opts := range []NetworkOptions{{Validators: 3}, {Validators: 7}, {ChainID: "other"}, {CommitRule: consensus.ThreeChain}, {Election: consensus.RoundRobin}} {
		if _, err := OpenOrWriteNetwork(dir, opts); !errors.Is(err, ErrOtherNetwork) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// TestCommitRuleOfANetwork: what a network is made with stands in the genesis of all its homes.
func TestCommitRuleOfANetwork(t *testing.T) {
	for want, rule := range map[string]consensus.CommitRule{"two_chain": 0, "three_chain": consensus.ThreeChain} {
		network, err := WriteTestnet(t.TempDir()+"/net", NetworkOptions{Kind: Testnet, Validators: 2, CommitRule: rule, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, home := range network.Homes() {
			d, err := LoadGenesis(home.GenesisFile())
			if err != nil || d.CommitRule != want || d.ContiguousRounds != map[string]uint64{"two_chain": 2, "three_chain": 3}[want] {
				t.Errorf("%s: %+v, %v", want, d, err)
			}
		}
	}
	if _, err := WriteTestnet(t.TempDir()+"/net", NetworkOptions{Kind: Testnet, Validators: 2, CommitRule: 9, Now: time.Now()}); !errors.Is(err, ErrGenesis) {
		t.Errorf("unknown rule: %v", err)
	}
}

// TestElectionOfANetwork: likewise for the election.
func TestElectionOfANetwork(t *testing.T) {
	for want, election := range map[string]consensus.Election{"reputation": 0, "round_robin": consensus.RoundRobin} {
		network, err := WriteTestnet(t.TempDir()+"/net", NetworkOptions{Kind: Testnet, Validators: 2, Election: election, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, home := range network.Homes() {
			d, err := LoadGenesis(home.GenesisFile())
			if err != nil || d.Election != want {
				t.Errorf("%s: %+v, %v", want, d, err)
			}
		}
	}
	if _, err := WriteTestnet(t.TempDir()+"/net", NetworkOptions{Kind: Testnet, Validators: 2, Election: 9, Now: time.Now()}); !errors.Is(err, ErrGenesis) {
		t.Errorf("unknown election: %v", err)
	}
}

func TestWriteTestnetRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, opts := range map[string]NetworkOptions{
		"too many":   {Kind: Testnet, Validators: 257},
		"negative":   {Kind: Testnet, Validators: -1},
		"peer port":  {Kind: Testnet, Ports: Ports{REST: 1000, RPC: 2000, Metrics: 3000}},
		"bad id":     {Kind: Testnet, ChainID: strings.Repeat("x", 65)},
		"port range": {Kind: Testnet, Ports: Ports{REST: 8080, RPC: 8083, Metrics: 9000, Peer: 7000}},
	} {
		opts.Now = time.Now()
		if _, err := WriteTestnet(dir, opts); err == nil {
			t.Errorf("%s: was written", name)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Fatalf("%s: left behind: %v", name, entries)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteTestnet(dir, devnetOptions()); !errors.Is(err, ErrNotEmpty) {
		t.Error(err)
	}
}

// What a creation that was cut short leaves is neither a network nor in the way of the next one.
func TestInterruptedCreation(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, creating, "node0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenNetwork(dir); !errors.Is(err, ErrNoHome) {
		t.Error(err)
	}
	if _, err := OpenOrWriteNetwork(dir, devnetOptions()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, networkFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOrWriteNetwork(dir, devnetOptions()); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over homes with keys: %v", err)
	}
}

func TestPorts(t *testing.T) {
	for _, test := range []struct {
		ports Ports
		nodes int
		flag  string // at fault; "": none
	}{
		{DefaultPorts(), 4, ""}, {DefaultPorts(), 256, ""}, {Ports{}, 4, ""},
		{Ports{REST: 9000, RPC: 9004}, 4, ""}, {Ports{REST: 9000, RPC: 9003}, 4, "--rpc-port"},
		{Ports{REST: 9004, RPC: 9000}, 4, ""}, {Ports{REST: 9003, RPC: 9000}, 4, "--rpc-port"},
		{Ports{REST: 9000, Metrics: 9000}, 1, "--metrics-port"}, {Ports{RPC: 9000, Peer: 9001}, 2, "--peer-port"},
		{Ports{REST: 65532}, 4, ""}, {Ports{REST: 65533}, 4, "--rest-port"}, {Ports{RPC: -1}, 1, "--rpc-port"},
		{Ports{Metrics: 65536}, 1, "--metrics-port"},
	} {
		err := test.ports.Validate(test.nodes)
		var plan *PortPlanError
		if errors.As(err, &plan) != (test.flag != "") || (plan != nil && plan.Flag != test.flag) {
			t.Errorf("%+v for %d: %v", test.ports, test.nodes, err)
		}
	}
	var s Settings
	Ports{REST: 1000, Peer: 2000}.Apply(&s, "::1", 3)
	if s.REST.Address != "[::1]:1003" || s.RPC.Address != "[::1]:0" || s.Peer.Address != "[::1]:2003" {
		t.Errorf("%+v", s)
	}
}

func TestFindClientHome(t *testing.T) {
	dir := t.TempDir()
	devnet, testnet := filepath.Join(dir, "devnet"), filepath.Join(dir, "testnet")
	if _, err := WriteTestnet(devnet, devnetOptions()); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteTestnet(testnet, NetworkOptions{Kind: Testnet, Validators: 2, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	endpoint := func(dir, want string, wantErr error) {
		t.Helper()
		got, err := FindClientHome(dir).RPC()
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %q, %v; want %q, %v", dir, got, err, want, wantErr)
		}
	}
	endpoint(devnet, "", ErrNotRunning)
	endpoint(testnet, "127.0.0.1:9090", nil)
	endpoint(filepath.Join(testnet, "node1"), "127.0.0.1:9091", nil)
	nodes := func(dir, want string, wantErr error) {
		t.Helper()
		var got []string
		all, err := FindClientHome(dir).Nodes()
		for _, n := range all {
			got = append(got, n.Name+" "+n.RPC+" "+n.REST)
		}
		if strings.Join(got, ", ") != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: %q, %v; want %q, %v", dir, got, err, want, wantErr)
		}
	}
	node0, node1 := "node0 127.0.0.1:9090 http://127.0.0.1:8080", "node1 127.0.0.1:9091 http://127.0.0.1:8081"
	nodes(devnet, "", ErrNotRunning)
	nodes(testnet, node0+", "+node1, nil)
	nodes(filepath.Join(testnet, "node1"), node1, nil)
	nodes(filepath.Join(dir, "nothing"), "", ErrNoHome)
	endpoint(filepath.Join(dir, "nothing"), "", ErrNoHome)

	running := Running{ChainID: "x", Nodes: []RunningNode{{Name: "node0", RPC: "127.0.0.1:4444"}}}
	for _, home := range []string{devnet, filepath.Join(testnet, "node1")} {
		for range 2 {
			if err := SaveEndpoints(home, running); err != nil {
				t.Fatal(err)
			}
		}
		endpoint(home, "127.0.0.1:4444", nil)
		nodes(home, "node0 127.0.0.1:4444 ", nil)
		for range 2 {
			if err := RemoveEndpoints(home); err != nil {
				t.Fatal(err)
			}
		}
	}
	endpoint(devnet, "", ErrNotRunning)
	for home, want := range map[string]struct {
		wallets string
		plain   bool
	}{
		devnet: {devnet, true}, filepath.Join(devnet, "node2"): {devnet, true}, testnet: {testnet, false},
		filepath.Join(testnet, "node1") + "/": {testnet, false}, filepath.Join(dir, "nothing"): {filepath.Join(dir, "nothing"), false},
	} {
		c := FindClientHome(home)
		if string(c.Wallets) != filepath.Join(want.wallets, "wallets") || c.PlainOK != want.plain || c.Prefix != "cairn" {
			t.Errorf("%s: %+v", home, c)
		}
	}
}

func TestHomeErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if _, err := WriteTestnet(dir, devnetOptions()); err != nil {
		t.Fatal(err)
	}
	if _, err := Home(dir).Genesis(); !errors.Is(err, ErrNoHome) || !strings.Contains(err.Error(), "node0") {
		t.Error(err)
	}
	if _, err := Home(filepath.Join(dir, "wallets")).Genesis(); !errors.Is(err, ErrNoHome) {
		t.Error(err)
	}
	// A wallet in the place of the validator's key.
	home := Home(filepath.Join(dir, "node0"))
	raw, _ := os.ReadFile(home.FaucetKeyFile())
	if err := os.WriteFile(home.ValidatorKeyFile(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := home.ValidatorKey(keys.Passphrase{}); !errors.Is(err, keys.ErrMalformed) {
		t.Error(err)
	}
}

// FuzzNetworkFile: whatever stands in the file, its homes are inside the folder.
func FuzzNetworkFile(f *testing.F) {
	f.Add([]byte(`{"kind":"devnet","chainId":"c","nodes":["node0","node1"]}`))
	f.Add([]byte(`{"nodes":["../x"]}`))
	for _, name := range []string{"/x", "x/..", ".", "..", ""} {
		f.Add([]byte(`{"nodes":["` + name + `"]}`))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, networkFile), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := OpenNetwork(dir)
		if err != nil {
			if !errors.Is(err, ErrNoHome) {
				t.Fatalf("untyped %v", err)
			}
			return
		}
		for _, home := range n.Homes() {
			if parent := filepath.Dir(string(home)); parent != dir {
				t.Errorf("%q is not in %q", home, dir)
			}
		}
	})
}
