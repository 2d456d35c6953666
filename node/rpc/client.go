package rpc

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// forwardedFor is the metadata in which the gateway names its client.
const forwardedFor = "x-forwarded-for"

// clientOf names the client of a call for the limits per address: its IP address; of IPv6 the network of 64 bits, the
// least that one client is given. Callers that are no IP address are known by the name of their network.
func (s *Server) clientOf(ctx context.Context) string {
	caller, ok := peer.FromContext(ctx)
	if !ok || caller.Addr == nil {
		return "unknown"
	}
	if s.cfg.Forwarder(caller.Addr) {
		if client, ok := forwarded(ctx); ok {
			return client
		}
	}
	if ip, ok := ipOf(caller.Addr); ok {
		return addressKey(ip)
	}
	return caller.Addr.Network()
}

// forwarded reads the last address of the last entry: the one that the forwarder itself saw. Those before it are what
// the client claims.
func forwarded(ctx context.Context) (string, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get(forwardedFor)
	if len(values) == 0 {
		return "", false
	}
	last := values[len(values)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	ip, err := netip.ParseAddr(last)
	if err != nil {
		return "", false
	}
	return addressKey(ip), true
}

func addressKey(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}

func ipOf(a net.Addr) (netip.Addr, bool) {
	at, err := netip.ParseAddrPort(a.String())
	return at.Addr(), err == nil
}

// isLocal is true of callers on this machine and of those that call through memory.
func isLocal(caller net.Addr) bool {
	ip, ok := ipOf(caller)
	return !ok || ip.Unmap().IsLoopback()
}
