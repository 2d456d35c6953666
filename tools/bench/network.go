package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// network is the validators of a cell, each a process.
type network struct {
	dir   string // holds home, the logs and nothing else
	home  string
	nodes []*node
}

type node struct {
	*process
	ready   string // URL
	metrics string // URL
	pprof   string // URL below which the profiles are
}

// first ports are looked for here: below those that systems give to outgoing connections.
const lowestPort, highestPort = 15_000, 31_000

// kindsOfPorts is how many listeners a node has.
const kindsOfPorts = 4

// readyWithin is how long a network may take to be ready.
const readyWithin = time.Minute

// startNetwork makes a network and waits until all of it is ready. What it returns is to be closed even with an error.
func (b *bench) startNetwork(ctx context.Context, c Cell) (*network, error) {
	dir, err := os.MkdirTemp(b.dir, "cairn-bench-")
	if err != nil {
		return nil, err
	}
	n := &network{dir: dir, home: filepath.Join(dir, "net")}
	port, err := freePorts(kindsOfPorts * c.Validators)
	if err != nil {
		return n, err
	}
	args := []string{"testnet", "--output", n.home, "--validators", strconv.Itoa(c.Validators)}
	first := make([]int, kindsOfPorts)
	for i, flag := range []string{"--rest-port", "--rpc-port", "--metrics-port", "--peer-port"} {
		first[i] = port + i*c.Validators
		args = append(args, flag, strconv.Itoa(first[i]))
	}
	if _, err := output(ctx, b.cairn, args...); err != nil {
		return n, err
	}
	for i := range c.Validators {
		cmd := exec.Command(b.cairn, "start", "--home", filepath.Join(n.home, "node"+strconv.Itoa(i)))
		cmd.Env = append(os.Environ(), "CAIRN_RPC_SUBMIT_RATE=100000000", "CAIRN_RPC_SUBMIT_BURST=100000000")
		if b.profiles != "" {
			cmd.Env = append(cmd.Env, "CAIRN_TELEMETRY_PROFILING=true")
		}
		name := fmt.Sprintf("node%d", i)
		log, err := os.Create(filepath.Join(dir, name+".log"))
		if err != nil {
			return n, err
		}
		cmd.Stdout, cmd.Stderr = log, log
		p, err := spawn(name, cmd, log)
		if err != nil {
			return n, err
		}
		metrics := fmt.Sprintf("http://127.0.0.1:%d", first[2]+i)
		n.nodes = append(n.nodes, &node{
			process: p, ready: fmt.Sprintf("http://127.0.0.1:%d/readyz", first[0]+i), metrics: metrics + "/metrics",
			pprof: metrics + "/debug/pprof",
		})
	}
	return n, n.awaitReady(ctx)
}

func (n *network) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, node := range n.nodes {
		for !answers(ctx, node.ready) {
			if err := node.fell(); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready: %w: %s", node.name, ctx.Err(), tail(node.log.Name()))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	body, err := get(ctx, url)
	return err == nil && body != nil
}

// get returns the body of an answer 200.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read to its end, or is of no use
	body, err := readAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return body, err
}

// fell says which nodes ended that nobody told to.
func (n *network) fell() (err error) {
	for _, node := range n.nodes {
		err = errors.Join(err, node.fell())
	}
	return err
}

// close ends all processes, and removes the folder unless it is to be kept.
func (n *network) close(keep bool) error {
	if n == nil {
		return nil
	}
	stopped := make(chan struct{})
	for _, node := range n.nodes {
		go func() {
			node.stop()
			stopped <- struct{}{}
		}()
	}
	for range n.nodes {
		<-stopped
	}
	if keep {
		fmt.Fprintln(os.Stderr, "kept", n.dir)
		return nil
	}
	return os.RemoveAll(n.dir)
}

// freePorts returns the first of so many ports in a row that nobody listens at now.
func freePorts(count int) (int, error) {
	for range 100 {
		first := lowestPort + rand.IntN(highestPort-lowestPort-count)
		if allFree(first, count) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row between %d and %d", count, lowestPort, highestPort)
}

func allFree(first, count int) bool {
	for port := first; port < first+count; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}
