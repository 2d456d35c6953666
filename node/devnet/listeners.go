package devnet

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/follow"
)

// buildListeners makes the nodes that follow the validators, all or none.
func buildListeners(network *node.Network, validators []*node.Node, opts Options) (listeners []*node.Node, err error) {
	var upstreams []string
	for _, v := range validators[:min(len(validators), follow.MaxUpstreams)] {
		upstreams = append(upstreams, v.Endpoints().RPC)
	}
	for i, home := range network.ListenerHomes() {
		n, err := buildListener(home, len(validators)+i, upstreams, opts)
		if err != nil {
			for _, one := range listeners {
				err = errors.Join(err, one.Close())
			}
			return nil, explain(err, network.Listeners[i])
		}
		listeners = append(listeners, n)
	}
	return listeners, nil
}

// buildListener makes the listener that is the i-th node of the network.
func buildListener(home node.Home, i int, upstreams []string, opts Options) (*node.Node, error) {
	s, err := node.LoadSettings(home.SettingsFile(), opts.Flags)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", home.SettingsFile(), err)
	}
	opts.Ports.Apply(&s, host, i)
	s.Upstream.Addresses = upstreams
	o := node.Options{Home: home, Settings: s, Logger: opts.Logger(s.Node.Name, s.Log)}
	if opts.Prepare != nil {
		opts.Prepare(i, &o)
	}
	return node.New(o)
}

// runAll runs nodes until ctx ends or one fails.
func runAll(ctx context.Context, group *errgroup.Group, nodes []*node.Node) {
	for _, n := range nodes {
		group.Go(func() error {
			if err := n.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", n.Name(), err)
			}
			return nil
		})
	}
}
