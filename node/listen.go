package node

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/net/netutil"
)

// PortBusyError says that an address cannot be listened on because something else does.
type PortBusyError struct {
	Key     string // of the setting
	Address string
	Err     error
}

// Error names the setting and its flag.
func (e *PortBusyError) Error() string {
	return fmt.Sprintf("%s: %s is in use by another program; stop it, or choose another address by --%s or %s in config.yaml (port 0: any free one)",
		e.Key, e.Address, flagOf(e.Key), e.Key)
}

// Unwrap returns the operating system's error.
func (e *PortBusyError) Unwrap() error { return e.Err }

// flagOf returns the flag of a setting.
func flagOf(key string) string {
	var s Settings
	for _, f := range fieldsOf(&s) {
		if f.Key == key {
			return f.Flag
		}
	}
	panic("node: no setting " + key)
}

type listeners struct{ rpc, rest, metrics, peer net.Listener }

// listen binds every address, so that a busy port is an error of New.
func (n *Node) listen() error {
	s := n.opts.Settings
	n.listeners.peer = n.opts.PeerListener
	for _, l := range []struct {
		to           *net.Listener
		key, address string
	}{
		{&n.listeners.rpc, "rpc.address", s.RPC.Address},
		{&n.listeners.rest, "rest.address", s.REST.Address},
		{&n.listeners.metrics, "metrics.address", s.Metrics.Address},
		{&n.listeners.peer, "peer.address", s.Peer.Address},
	} {
		if l.to == &n.listeners.peer && n.IsListener() {
			continue
		}
		if *l.to == nil && l.address != "" {
			bound, err := net.Listen("tcp", l.address)
			if errors.Is(err, syscall.EADDRINUSE) {
				return &PortBusyError{Key: l.key, Address: l.address, Err: err}
			}
			if err != nil {
				return fmt.Errorf("%s: %w", l.key, err)
			}
			*l.to = bound
			if l.to != &n.listeners.peer { // the peers' has limits of its own
				*l.to = netutil.LimitListener(bound, n.files.connections)
			}
		}
		if bound := *l.to; bound != nil {
			n.onClose(func() error { return closeListener(bound) })
		}
	}
	return nil
}

// closeListener closes a listener that its server may have closed already.
func closeListener(l net.Listener) error {
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
