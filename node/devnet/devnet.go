// Package devnet runs all nodes of a network in one process: the very homes, nodes and validator network that
// separate processes would run.
package devnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/node"
)

// host is where a devnet listens: on this machine only.
const host = "127.0.0.1"

// Options are what a devnet is made from.
type Options struct {
	Home    string              // folder of the network; made by Network when there is none
	Network node.NetworkOptions // of a new network
	Ports   node.Ports          // first ports; a Peer of 0 is any free one
	Flags   *pflag.FlagSet      // of settings (node.AddSettingFlags) for all nodes; may be nil
	Logger  func(nodeName string, s node.LogSettings) *slog.Logger
	// Prepare may change what a node is made from, such as its application; the listeners come behind the validators. May
	// be nil.
	Prepare func(i int, opts *node.Options)
	// Ready is called once, when all nodes are ready. May be nil.
	Ready func(node.Running)
}

// Run makes or continues the network in Home and runs all its nodes until ctx ends or one of them fails. While they run,
// the file of endpoints is in the homes, so that client commands find them.
//
// Errors that a user can act on: node.ErrOtherNetwork, *node.PortPlanError (it names the flag), *node.SettingError, and
// those of node.New.
func Run(ctx context.Context, opts Options) error {
	validators, listeners := opts.Network.Validators, opts.Network.Listeners
	if network, err := node.OpenNetwork(opts.Home); err == nil {
		validators, listeners = len(network.Nodes), len(network.Listeners)
	} else if validators == 0 {
		validators = node.DefaultValidators
	}
	// Before anything is made: a home is not made for ports that cannot be.
	if err := opts.Ports.Validate(validators + listeners); err != nil {
		return err
	}
	network, err := node.OpenOrWriteNetwork(opts.Home, opts.Network)
	if err != nil {
		return err
	}
	nodes, err := build(network, opts)
	if err != nil {
		return err
	}
	followers, err := buildListeners(network, nodes, opts)
	if err != nil {
		for _, n := range nodes {
			err = errors.Join(err, n.Close())
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	runAll(ctx, group, nodes)
	runAll(ctx, group, followers)
	group.Go(func() error { return announce(ctx, network, running{nodes, followers}, opts.Ready) })
	return errors.Join(group.Wait(), forget(network))
}

// build makes all nodes, or none.
func build(network *node.Network, opts Options) (nodes []*node.Node, err error) {
	all, listeners, err := configure(network, opts)
	defer func() {
		if err == nil {
			return
		}
		for _, n := range nodes {
			err = errors.Join(err, n.Close())
		}
		for _, l := range listeners[len(nodes):] {
			_ = l.Close() // may be closed already by the node that failed
		}
		nodes = nil
	}()
	if err != nil {
		return nil, err
	}
	for i, home := range network.Homes() {
		s := all[i]
		o := node.Options{Home: home, Settings: s, Logger: opts.Logger(s.Node.Name, s.Log), PeerListener: listeners[i]}
		if opts.Prepare != nil {
			opts.Prepare(i, &o)
		}
		n, err := node.New(o)
		if err != nil {
			return nodes, explain(err, network.Nodes[i])
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// configure reads the settings of all nodes and puts in them where the nodes listen and find each other.
func configure(network *node.Network, opts Options) ([]node.Settings, []net.Listener, error) {
	var (
		all       = make([]node.Settings, len(network.Nodes))
		listeners []net.Listener
		addresses = map[string]string{}
	)
	for i, home := range network.Homes() {
		s, err := node.LoadSettings(home.SettingsFile(), opts.Flags)
		if err != nil {
			return nil, listeners, fmt.Errorf("%s: %w", home.SettingsFile(), err)
		}
		opts.Ports.Apply(&s, host, i)
		listener, err := net.Listen("tcp", s.Peer.Address)
		if err != nil {
			return nil, listeners, &node.PortPlanError{Flag: "--peer-port", Message: err.Error()}
		}
		listeners = append(listeners, listener)
		addresses[network.Nodes[i]] = listener.Addr().String()
		all[i] = s
	}
	for i := range all {
		for j, p := range all[i].Peers {
			if address, ours := addresses[p.Name]; ours {
				all[i].Peers[j].Address = address
			}
		}
	}
	return all, listeners, nil
}

// explain names the flag of a devnet where node.New names a setting, which all nodes would share.
func explain(err error, name string) error {
	var busy *node.PortBusyError
	if !errors.As(err, &busy) {
		return fmt.Errorf("%s: %w", name, err)
	}
	kind, _, _ := strings.Cut(busy.Key, ".")
	return &node.PortPlanError{Flag: "--" + kind + "-port", Message: fmt.Sprintf(
		"%s, for %s, is in use by another program; stop it, or choose other ports with this flag (0: any free ones)",
		busy.Address, name)}
}

// announce waits until all nodes are ready and says so.
func announce(ctx context.Context, network *node.Network, nodes running, ready func(node.Running)) error {
	for _, n := range slices.Concat(nodes.validators, nodes.listeners) {
		select {
		case <-n.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	running, err := describe(network, nodes)
	if err != nil {
		return err
	}
	if err := node.SaveEndpoints(network.Dir, running); err != nil {
		return err
	}
	all := slices.Concat(running.Nodes, running.Listeners)
	for i, home := range slices.Concat(network.Homes(), network.ListenerHomes()) {
		one := node.Running{ChainID: running.ChainID, Nodes: all[i : i+1], Wallets: running.Wallets}
		if err := node.SaveEndpoints(string(home), one); err != nil {
			return err
		}
	}
	if ready != nil {
		ready(running)
	}
	return nil
}

// running are the nodes of a devnet.
type running struct{ validators, listeners []*node.Node }

func describe(network *node.Network, nodes running) (node.Running, error) {
	wallets, err := network.WalletAddresses()
	if err != nil {
		return node.Running{}, err
	}
	running := node.Running{ChainID: network.ChainID, Wallets: wallets}
	for _, n := range nodes.validators {
		running.Nodes = append(running.Nodes, n.Describe())
	}
	for _, n := range nodes.listeners {
		running.Listeners = append(running.Listeners, n.Describe())
	}
	return running, nil
}

// forget removes the files of endpoints.
func forget(network *node.Network) error {
	err := node.RemoveEndpoints(network.Dir)
	for _, home := range slices.Concat(network.Homes(), network.ListenerHomes()) {
		err = errors.Join(err, node.RemoveEndpoints(string(home)))
	}
	return err
}
