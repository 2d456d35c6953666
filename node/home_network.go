package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/node/newfile"
)

// NetworkKind says how a network of nodes is run.
type NetworkKind string

// The kinds of networks.
const (
	Devnet  NetworkKind = "devnet"  // all nodes in one process
	Testnet NetworkKind = "testnet" // each node in a process of its own
)

// Network is a folder with the homes of all nodes of a chain, and some wallets. The homes are the same for every kind.
type Network struct {
	Dir     string      `json:"-"`
	Kind    NetworkKind `json:"kind"`
	ChainID string      `json:"chainId"`
	Nodes   []string    `json:"nodes"` // the names of the validators' homes
	// Listeners are the names of the homes of nodes that follow the validators.
	Listeners []string `json:"listeners,omitempty"`
}

// networkFile marks the folder of a network. It is written last, so what has it is whole.
const networkFile = "network.json"

// ErrOtherNetwork says that a folder holds a network of another shape than the one asked for.
var ErrOtherNetwork = errors.New("this home holds another network")

// OpenNetwork reads what WriteNetwork wrote. Errors wrap ErrNoHome.
func OpenNetwork(dir string) (*Network, error) {
	path := filepath.Join(dir, networkFile)
	raw, err := readBounded(path, maxNetworkFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s holds no network of nodes", ErrNoHome, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoHome, err)
	}
	n := Network{Dir: dir}
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	if err = in.Decode(&n); err == nil && len(n.Nodes) == 0 {
		err = errors.New("it names no node")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be read: %w", ErrNoHome, path, err)
	}
	for _, name := range slices.Concat(n.Nodes, n.Listeners) {
		if name == "." || !filepath.IsLocal(name) || strings.ContainsRune(name, filepath.Separator) {
			return nil, fmt.Errorf("%w: %s: %q is no name of a home", ErrNoHome, path, name)
		}
	}
	return &n, nil
}

// maxNetworkFile is the longest networkFile and endpointsFile, in bytes.
const maxNetworkFile = 1 << 20

// Homes are the homes of the validators, in order.
func (n *Network) Homes() []Home { return n.homes(n.Nodes) }

// ListenerHomes are the homes of the listeners, in order.
func (n *Network) ListenerHomes() []Home { return n.homes(n.Listeners) }

func (n *Network) homes(names []string) []Home {
	homes := make([]Home, len(names))
	for i, name := range names {
		homes[i] = Home(filepath.Join(n.Dir, name))
	}
	return homes
}

// Wallets is the folder of the wallets.
func (n *Network) Wallets() keys.Folder { return Home(n.Dir).WalletsDir() }

// WalletAddresses lists the wallets by name.
func (n *Network) WalletAddresses() ([]WalletAddress, error) { return walletAddresses(n.Wallets()) }

func walletAddresses(folder keys.Folder) ([]WalletAddress, error) {
	names, err := folder.Names()
	if err != nil {
		return nil, err
	}
	out := make([]WalletAddress, 0, len(names))
	for _, name := range names {
		file, err := folder.Read(name)
		if err != nil {
			return nil, err
		}
		if file.Kind == keys.Wallet {
			out = append(out, WalletAddress{name, file.Label})
		}
	}
	return out, nil
}

// OpenOrWriteNetwork opens the network in dir, so that its chain goes on, or makes it with opts when the folder does not
// exist or is empty. ErrOtherNetwork: it has another number of validators or listeners, chain id or commit rule than opts ask
// for (their zero values ask for nothing).
func OpenOrWriteNetwork(dir string, opts NetworkOptions) (*Network, error) {
	n, err := OpenNetwork(dir)
	if errors.Is(err, ErrNoHome) && !exists(filepath.Join(dir, networkFile)) {
		return WriteTestnet(dir, opts)
	}
	if err != nil {
		return nil, err
	}
	if opts.Validators != 0 && opts.Validators != len(n.Nodes) {
		return nil, fmt.Errorf("%w: %s has %d validators, not %d; leave --validators away to continue it, or name "+
			"another --home, or remove the folder to begin a new chain", ErrOtherNetwork, dir, len(n.Nodes), opts.Validators)
	}
	if opts.Listeners != 0 && opts.Listeners != len(n.Listeners) {
		return nil, fmt.Errorf("%w: %s has %d listeners, not %d; leave --listeners away to continue it, or name another --home, "+
			"or remove the folder to begin a new chain", ErrOtherNetwork, dir, len(n.Listeners), opts.Listeners)
	}
	if opts.ChainID != "" && opts.ChainID != n.ChainID {
		return nil, fmt.Errorf("%w: %s is of chain %s, not %s; name another --home", ErrOtherNetwork, dir, n.ChainID,
			opts.ChainID)
	}
	if err := n.checkChain(opts); err != nil {
		return nil, err
	}
	return n, nil
}

// checkChain is nil when the network's chain has the commit rule and the election that are asked for; 0 is any.
func (n *Network) checkChain(opts NetworkOptions) error {
	if opts.CommitRule == 0 && opts.Election == 0 {
		return nil
	}
	d, err := LoadGenesis(n.Homes()[0].GenesisFile())
	if err != nil {
		return err
	}
	if want := opts.CommitRule; want != 0 && d.CommitRule != want.String() {
		return fmt.Errorf("%w: %s is under the commit rule %s, not %v; leave --commit-rule away to continue it, or name "+
			"another --home", ErrOtherNetwork, n.Dir, d.CommitRule, want)
	}
	if want := opts.Election; want != 0 && d.Election != want.String() {
		return fmt.Errorf("%w: %s elects its leaders by %s, not %v; leave --election away to continue it, or name "+
			"another --home", ErrOtherNetwork, n.Dir, d.Election, want)
	}
	return nil
}

// creating is where a network is made before it is moved to its place.
const creating = ".creating"

// WriteTestnet makes the homes of a new chain in dir, which must not exist or be empty: node0, node1, …, and wallets.
// An error, or a crash, leaves no network: what is left of it is refused until it is removed.
func WriteTestnet(dir string, opts NetworkOptions) (*Network, error) {
	opts = opts.complete()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, creating)); err != nil {
		return nil, err
	}
	if err := makeEmptyDir(dir); err != nil {
		return nil, err
	}
	work := filepath.Join(dir, creating)
	plan, err := newNetworkPlan(opts)
	if err != nil {
		return nil, err
	}
	if err := plan.write(work); err != nil {
		return nil, errors.Join(err, os.RemoveAll(work))
	}
	entries, err := os.ReadDir(work)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(work, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(work); err != nil {
		return nil, err
	}
	n := &Network{Dir: dir, Kind: opts.Kind, ChainID: opts.ChainID}
	for i := range opts.Validators {
		n.Nodes = append(n.Nodes, nodeName(i))
	}
	for i := range opts.Listeners {
		n.Listeners = append(n.Listeners, listenerName(i))
	}
	content, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("node: %v", err)) // no field can fail to marshal
	}
	return n, newfile.Create(filepath.Join(dir, networkFile), append(content, '\n'), 0o644)
}

func nodeName(i int) string { return fmt.Sprintf("node%d", i) }

func listenerName(i int) string { return fmt.Sprintf("listener%d", i) }

// maxListeners is how many listeners a new network may have.
const maxListeners = 64

func (o NetworkOptions) validate() error {
	if o.Validators < 1 || o.Validators > consensus.MaxValidators {
		return fmt.Errorf("--validators: %d is not in 1…%d", o.Validators, consensus.MaxValidators)
	}
	if o.Ports.Peer == 0 {
		return &PortPlanError{"--peer-port", "the nodes must know each other's ports, so it cannot be 0"}
	}
	if o.Listeners < 0 || o.Listeners > maxListeners {
		return fmt.Errorf("--listeners: %d is not in 0…%d", o.Listeners, maxListeners)
	}
	if o.Listeners > 0 && o.Kind == Testnet && o.Ports.RPC == 0 {
		return &PortPlanError{"--rpc-port", "the listeners must know the ports of the validators, so it cannot be 0"}
	}
	return o.Ports.Validate(o.Validators + o.Listeners)
}
