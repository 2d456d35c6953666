package client

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// EndpointError says that a text is no endpoint of Dial.
type EndpointError struct {
	Endpoint string
	Why      string // what is wrong with it
}

// Error says what is wrong and what is wanted.
func (e *EndpointError) Error() string {
	return fmt.Sprintf("endpoint %q: %s; want host:port, http://host:port or https://host:port", e.Endpoint, e.Why)
}

// CheckEndpoint says what is wrong with an endpoint of Dial by an *EndpointError, nil: nothing.
func CheckEndpoint(endpoint string) error {
	_, _, err := parseEndpoint(endpoint)
	return err
}

func parseEndpoint(endpoint string) (target string, secure bool, err error) {
	target, http := strings.CutPrefix(endpoint, "http://")
	if !http {
		target, secure = strings.CutPrefix(endpoint, "https://")
	}
	target = strings.TrimSuffix(target, "/")
	host, port, err := net.SplitHostPort(target)
	why := ""
	switch {
	case strings.ContainsAny(endpoint, "\"'`"):
		why = "it has quotation marks, which the shell or the settings file should have taken off"
	case err != nil || host == "" || port == "":
		why = "it has no host or no port"
	case !isHost(host):
		why = "its host is neither an IP address nor a host name"
	case !isPort(port):
		why = "its port is not a number in 1…65535"
	default:
		return target, secure || (!http && !isLoopback(host)), nil
	}
	return "", false, &EndpointError{Endpoint: endpoint, Why: why}
}

// isHost reports whether a text is an IP address or can be a host name.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if strings.Trim(label, "-") == "" || strings.ContainsFunc(label, func(r rune) bool { return !isHostRune(r) }) {
			return false
		}
	}
	return true
}

func isHostRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}
