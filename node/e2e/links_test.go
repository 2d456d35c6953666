//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cairnchain/cairn/node/e2e/proxy"
)

// links are the proxies between the validators, by who dials and who listens; nil from a node to itself. The messages of
// one validator to another go over the connections that it dials, so cutting a link cuts the messages of that direction.
type links [][]*proxy.Proxy

// addLinks puts a proxy on every directed link. The nodes must not have been started.
func (n *testnet) addLinks() {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	running := 0
	n.t.Cleanup(func() {
		cancel()
		for range running {
			if err := <-ended; err != nil {
				n.t.Error(err)
			}
		}
	})
	for i, from := range n.members {
		settings := filepath.Join(from.home, "config.yaml")
		raw, err := os.ReadFile(settings)
		if err != nil {
			n.t.Fatal(err)
		}
		text := string(raw)
		row := make([]*proxy.Proxy, len(n.members))
		for j, to := range n.members {
			if i == j {
				continue
			}
			p, err := proxy.Listen(to.peer, n.seed+uint64(i*len(n.members)+j))
			if err != nil {
				n.t.Fatal(err)
			}
			row[j] = p
			running++
			go func() { ended <- p.Run(ctx) }()
			if strings.Count(text, strconv.Quote(to.peer)) != 1 {
				n.t.Fatalf("%s does not name %s once: %s", settings, to.peer, text)
			}
			text = strings.Replace(text, strconv.Quote(to.peer), strconv.Quote(p.Address()), 1)
		}
		n.links = append(n.links, row)
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// each calls f for every link.
func (l links) each(f func(from, to int, p *proxy.Proxy)) {
	for i, row := range l {
		for j, p := range row {
			if p != nil {
				f(i, j, p)
			}
		}
	}
}

// heal takes all conditions away.
func (l links) heal() {
	l.each(func(_, _ int, p *proxy.Proxy) { p.Set(proxy.Conditions{}) })
}
