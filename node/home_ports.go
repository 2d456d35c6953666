package node

import (
	"fmt"
	"math"
	"net"
	"strconv"
)

// Ports are the first ports of a network of nodes on one host; they count up, one per node. 0: any free one.
type Ports struct{ REST, RPC, Metrics, Peer int }

// DefaultPorts are those of the settings' defaults.
func DefaultPorts() Ports { return Ports{REST: 8080, RPC: 9090, Metrics: 9464, Peer: 7070} }

// PortPlanError is a choice of ports that cannot be; it names the flag that would change it.
type PortPlanError struct{ Flag, Message string }

// Error names the flag.
func (e *PortPlanError) Error() string { return e.Flag + ": " + e.Message }

type portRange struct {
	flag  string
	first int
}

func (p Ports) ranges() []portRange {
	return []portRange{
		{"--rest-port", p.REST}, {"--rpc-port", p.RPC}, {"--metrics-port", p.Metrics}, {"--peer-port", p.Peer},
	}
}

// Validate checks the ports for this many nodes: a *PortPlanError when two nodes, or two listeners, would need one
// port.
func (p Ports) Validate(nodes int) error {
	ranges := p.ranges()
	for i, r := range ranges {
		if r.first < 0 || r.first > math.MaxUint16 || (r.first != 0 && r.first+nodes-1 > math.MaxUint16) {
			return &PortPlanError{r.flag, fmt.Sprintf("%d nodes from port %d on do not fit in 1…%d", nodes, r.first,
				math.MaxUint16)}
		}
		for _, other := range ranges[:i] {
			if r.first != 0 && other.first != 0 && r.first < other.first+nodes && other.first < r.first+nodes {
				return &PortPlanError{r.flag, fmt.Sprintf("ports %d to %d overlap those of %s, %d to %d", r.first,
					r.first+nodes-1, other.flag, other.first, other.first+nodes-1)}
			}
		}
	}
	return nil
}

// Apply sets the addresses of node i on a host.
func (p Ports) Apply(s *Settings, host string, i int) {
	s.REST.Address = nthAddress(host, p.REST, i)
	s.RPC.Address = nthAddress(host, p.RPC, i)
	s.Metrics.Address = nthAddress(host, p.Metrics, i)
	s.Peer.Address = nthAddress(host, p.Peer, i)
}

func nthAddress(host string, first, i int) string {
	if first != 0 {
		first += i
	}
	return net.JoinHostPort(host, strconv.Itoa(first))
}
