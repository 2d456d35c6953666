package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/node/newfile"
)

// Running describes nodes that run: what cairn devnet prints, and what the file of endpoints in a home holds while they
// do.
type Running struct {
	ChainID string        `json:"chainId"`
	Nodes   []RunningNode `json:"nodes"`
	// Listeners are the nodes that follow the others; of one that runs by itself none: it stands in Nodes.
	Listeners []RunningNode   `json:"listeners,omitempty"`
	Wallets   []WalletAddress `json:"wallets"`
}

// RunningNode is where one node can be reached.
type RunningNode struct {
	Name    string `json:"name"`
	REST    string `json:"rest"`    // http://host:port
	RPC     string `json:"rpc"`     // host:port
	Metrics string `json:"metrics"` // http://host:port/metrics; empty: nowhere
	Home    string `json:"home"`
}

// WalletAddress is a wallet that client commands know by name.
type WalletAddress struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// endpointsFile is where client commands find the ports of what runs in a home.
const endpointsFile = "endpoints.json"

// ErrNotRunning says that nothing runs in a home.
var ErrNotRunning = errors.New("not running")

// SaveEndpoints writes the file of endpoints into dir, the folder of a network or of a node.
func SaveEndpoints(dir string, running Running) error {
	content, err := json.MarshalIndent(running, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("node: %v", err)) // no field can fail to marshal
	}
	return newfile.Replace(filepath.Join(dir, endpointsFile), append(content, '\n'), 0o644)
}

// RemoveEndpoints removes the file of endpoints: nothing runs in dir any more.
func RemoveEndpoints(dir string) error {
	if err := os.Remove(filepath.Join(dir, endpointsFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func loadEndpoints(dir string) (*Running, error) {
	raw, err := readBounded(filepath.Join(dir, endpointsFile), maxNetworkFile)
	if err != nil {
		return nil, err
	}
	var r Running
	if err = json.Unmarshal(raw, &r); err == nil && len(r.Nodes) == 0 {
		err = errors.New("it names no node")
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", filepath.Join(dir, endpointsFile), err)
	}
	return &r, nil
}

// ClientHome is what client commands find in a folder.
type ClientHome struct {
	Wallets  keys.Folder
	ChainID  string // "": not known
	Prefix   string // of addresses
	PlainOK  bool   // the folder is a devnet's, whose keys may be plain
	endpoint func() (string, error)
	nodes    func() ([]RunningNode, error)
}

// RPC is the gRPC endpoint of the first node, host:port. ErrNotRunning and ErrNoHome are expected.
func (c ClientHome) RPC() (string, error) { return c.endpoint() }

// Nodes are the nodes of the folder: all of a network's, else the one. They need not run. Of a network whose nodes are
// processes of their own the settings say where, and Metrics and Home are empty. ErrNotRunning and ErrNoHome are
// expected.
func (c ClientHome) Nodes() ([]RunningNode, error) { return c.nodes() }

// FindClientHome looks at a folder for client commands: one of a devnet or testnet, or of a node, or of wallets only.
// A folder that does not exist is one of wallets only, without any.
func FindClientHome(dir string) ClientHome {
	if n, err := OpenNetwork(dir); err == nil {
		return n.clientHome()
	}
	h := Home(dir)
	c := ClientHome{Wallets: h.WalletsDir(), Prefix: ledger.DefaultPrefix}
	if h.check() != nil {
		c.endpoint = func() (string, error) {
			return "", fmt.Errorf("%w: %s is neither of a devnet nor of a node; run cairn devnet, or give --home or --rpc",
				ErrNoHome, dir)
		}
		c.nodes = func() ([]RunningNode, error) {
			_, err := c.endpoint()
			return nil, err
		}
		return c
	}
	c.ChainID, c.Prefix = h.chain()
	if n, err := OpenNetwork(filepath.Dir(filepath.Clean(dir))); err == nil && !exists(string(c.Wallets)) {
		c.Wallets, c.PlainOK = n.Wallets(), n.Kind == Devnet
	}
	c.endpoint = h.endpoint
	c.nodes = func() ([]RunningNode, error) {
		n, err := h.located()
		if err != nil {
			return nil, err
		}
		return []RunningNode{n}, nil
	}
	return c
}

func (n *Network) clientHome() ClientHome {
	first := n.Homes()[0]
	_, prefix := first.chain()
	return ClientHome{
		Wallets: n.Wallets(), ChainID: n.ChainID, Prefix: prefix, PlainOK: n.Kind == Devnet,
		endpoint: func() (string, error) {
			if n.Kind == Testnet {
				return first.endpoint()
			}
			nodes, err := n.located()
			if err != nil {
				return "", err
			}
			return nodes[0].RPC, nil
		},
		nodes: n.located,
	}
}

// located says where all nodes are reached.
func (n *Network) located() ([]RunningNode, error) {
	running, err := loadEndpoints(n.Dir)
	switch {
	case err == nil:
		return running.Nodes, nil
	case n.Kind == Devnet && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the devnet in %s is %w; start it with cairn devnet", n.Dir, ErrNotRunning)
	case n.Kind == Devnet:
		return nil, err
	}
	nodes := make([]RunningNode, len(n.Nodes))
	for i, home := range n.Homes() {
		if nodes[i], err = home.located(); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// endpoint is where the node of this home is reached by gRPC.
func (h Home) endpoint() (string, error) {
	n, err := h.located()
	return n.RPC, err
}

// located says where the node of this home is reached: where it says it runs, else where its settings put it.
func (h Home) located() (RunningNode, error) {
	if running, err := loadEndpoints(string(h)); err == nil {
		return running.Nodes[0], nil
	}
	s, err := LoadSettings(h.SettingsFile(), nil)
	if err != nil {
		return RunningNode{}, err
	}
	n := RunningNode{Name: s.Node.Name}
	if n.RPC, err = h.reachable(s.RPC.Address); err != nil {
		return RunningNode{}, err
	}
	// Without REST a node can still be asked by gRPC.
	if rest, err := h.reachable(s.REST.Address); err == nil {
		n.REST = "http://" + rest
	}
	return n, nil
}

// reachable is how a listener's address is reached from this machine.
func (h Home) reachable(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", fmt.Errorf("the node in %s is %w; start it with cairn start", h, ErrNotRunning)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1" // it listens everywhere, so here as well
	}
	return net.JoinHostPort(host, port), nil
}

// chain returns the chain's id and the prefix of its addresses; "" and that of the ledger where it cannot be read.
func (h Home) chain() (id, prefix string) {
	d, err := LoadGenesis(h.GenesisFile())
	if err != nil {
		return "", ledger.DefaultPrefix
	}
	document, err := ledger.ParseDocument(d.App)
	if err != nil {
		return d.ChainID, ledger.DefaultPrefix
	}
	return d.ChainID, document.AddressPrefix
}

// Describe says where the node can be reached.
func (n *Node) Describe() RunningNode {
	e := n.Endpoints()
	return RunningNode{Name: n.Name(), REST: e.REST, RPC: e.RPC, Metrics: e.Metrics, Home: string(n.opts.Home)}
}
