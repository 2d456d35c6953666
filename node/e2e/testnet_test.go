//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// testnet is nodes, each in a process of its own.
type testnet struct {
	*bed
	dir        string
	chainID    string
	members    []*member // the validators
	listeners  []*member
	alice, bob *wallet
	links      links // none: the nodes reach each other without proxies
}

type member struct {
	net     *testnet
	name    string
	home    string
	id      string // of its validator
	rest    string // http://host:port, the same in every life
	rpc     string
	peer    string // host:port, where it listens for the others
	metrics string // http://host:port/metrics
	lives   int
	process *process // nil when it does not run
	listens bool
}

const validators = 4

// newTestnet makes the folders of four validators.
func newTestnet(b *bed) *testnet {
	b.t.Helper()
	return newTestnetOf(b, validators, 0)
}

// newTestnetWith is newTestnet with listeners.
func newTestnetWith(b *bed, listeners int) *testnet {
	b.t.Helper()
	return newTestnetOf(b, validators, listeners)
}

// newTestnetOf makes the folders by cairn testnet, with ports that outlive a process.
func newTestnetOf(b *bed, validators, listeners int) *testnet {
	b.t.Helper()
	all := validators + listeners
	first := b.freePorts(4 * all)
	n := &testnet{bed: b, dir: b.path("testnet")}
	var made struct {
		ChainID          string
		Nodes, Listeners []struct{ Name, Home string }
	}
	b.ask(&made, "testnet", "--validators", strconv.Itoa(validators), "--listeners", strconv.Itoa(listeners), "--output", n.dir,
		"--peer-port", strconv.Itoa(first), "--rest-port", strconv.Itoa(first+all), "--rpc-port", strconv.Itoa(first+2*all),
		"--metrics-port", strconv.Itoa(first+3*all))
	if len(made.Nodes) != validators || len(made.Listeners) != listeners {
		b.t.Fatalf("%+v", made)
	}
	n.chainID = made.ChainID
	for i, node := range slices.Concat(made.Nodes, made.Listeners) {
		var key struct{ ID string }
		b.readJSON(filepath.Join(node.Home, "validator.json"), &key)
		m := &member{
			net: n, name: node.Name, home: node.Home, id: key.ID,
			peer: fmt.Sprintf("127.0.0.1:%d", first+i), rest: fmt.Sprintf("http://127.0.0.1:%d", first+all+i),
			rpc: fmt.Sprintf("127.0.0.1:%d", first+2*all+i), metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", first+3*all+i),
		}
		if i < validators {
			n.members = append(n.members, m)
		} else {
			n.listeners = append(n.listeners, m)
		}
	}
	n.alice = b.openWallet(filepath.Join(n.dir, "wallets", "alice.json"))
	n.bob = b.openWallet(filepath.Join(n.dir, "wallets", "bob.json"))
	if err := os.Mkdir(n.records(), 0o700); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bed) readJSON(path string, into any) {
	b.t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// records is the folder of what the nodes received, one file for each life of each.
func (n *testnet) records() string { return n.path("records") }

// startAll starts all that do not run and waits until all are ready.
func (n *testnet) startAll() {
	n.t.Helper()
	for _, m := range n.members {
		if m.process == nil {
			m.start()
		}
	}
	for _, m := range n.members {
		m.awaitReady()
	}
}

func (n *testnet) urls() []string {
	var urls []string
	for _, m := range n.members {
		urls = append(urls, m.rest)
	}
	return urls
}

// start starts the process, with more flags if there are, and does not wait.
func (m *member) start(flags ...string) {
	m.net.t.Helper()
	m.startIn(nil, flags...)
}

// startIn is start with more in the environment.
func (m *member) startIn(env []string, flags ...string) {
	m.net.t.Helper()
	m.startAs(env, exec.Command(m.net.binary, append([]string{"start", "--home", m.home, "-o", "json"}, flags...)...))
}

// startAs is startIn by a command that becomes cairn.
func (m *member) startAs(env []string, cmd *exec.Cmd) {
	m.net.t.Helper()
	m.lives++
	life := fmt.Sprintf("%s-life%02d", m.name, m.lives)
	if slices.Contains(m.net.members, m) { // listeners receive no messages
		env = append(env, "CAIRN_E2E_RECORD="+filepath.Join(m.net.records(), life))
	}
	m.process = m.net.spawnCommand(life, env, cmd)
}

// awaitReady waits until the node listens where it should, and /readyz says that it is ready.
func (m *member) awaitReady() {
	m.net.t.Helper()
	m.awaitListening()
	m.net.await(m.name+" is ready", func() bool {
		_, ready, _ := readiness(m.net.t.Context(), m.rest)
		return ready
	})
}

func (m *member) awaitListening() {
	m.net.t.Helper()
	if m.listens {
		return
	}
	line := m.process.awaitFirst()
	var running struct{ Nodes []struct{ REST, RPC string } }
	if err := json.Unmarshal([]byte(line), &running); err != nil || len(running.Nodes) != 1 ||
		running.Nodes[0].REST != m.rest || running.Nodes[0].RPC != m.rpc {
		m.net.t.Fatalf("%s: %v: %s", m.name, err, line)
	}
	m.listens = true
}

func (m *member) kill() {
	m.net.t.Helper()
	m.process.kill()
	m.gone()
}

// gone notes that the process has ended.
func (m *member) gone() { m.process, m.listens = nil, false }

func (m *member) status() (s nodeStatus) {
	m.net.t.Helper()
	m.net.get(m.rest, "/v1/status", &s)
	return s
}
