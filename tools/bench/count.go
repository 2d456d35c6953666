package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// look is what the network and the load had used and done at an instant.
type look struct {
	at    time.Time
	nodes []Node
	seen  []metrics // by node; nil where there is none to ask
	load  Usage
}

func (n *network) look(ctx context.Context, l *running) look {
	out := look{at: time.Now(), load: usageOf(l.pid())}
	for _, node := range n.nodes {
		select {
		case <-node.done:
			out.nodes = append(out.nodes, Node{Name: node.name, Killed: true})
			out.seen = append(out.seen, nil)
			continue
		default:
		}
		u := usageOf(node.pid())
		out.nodes = append(out.nodes, Node{Name: node.name, CPU: u.CPU, MaxRSS: u.MaxRSS})
		m, err := scrape(ctx, node.metrics)
		if err != nil {
			m = nil // it answers to nobody: what it would have told is not known
		}
		out.seen = append(out.seen, m)
	}
	return out
}

// count takes over what happened between two looks.
func (r *Run) count(before, after look) {
	r.Seconds = after.at.Sub(before.at).Seconds()
	r.LoadCPU = since(before.load.CPU, after.load.CPU)
	for i, n := range after.nodes {
		n.CPU = since(before.nodes[i].CPU, n.CPU)
		if height, ok := after.seen[i].sum(metricHeight); ok {
			n.Height = &height
		}
		r.Nodes = append(r.Nodes, n)
	}
	first := func(metric string, labels ...string) *float64 {
		return grown(before.seen[0], after.seen[0], metric, labels...)
	}
	r.Committed = first(metricCommitted)
	r.Blocks = first(metricBlocks, `empty="false"`)
	r.QCRounds, r.TCRounds = first(metricRounds, `reason="qc"`), first(metricRounds, `reason="tc"`)
	for i, m := range after.seen {
		for _, cause := range m.values(metricBodies, causeLabel) {
			if bytes := grown(before.seen[i], m, metricBodies, fmt.Sprintf("%s=%q", causeLabel, cause)); bytes != nil {
				if r.BodyBytes == nil {
					r.BodyBytes = map[string]float64{}
				}
				r.BodyBytes[cause] += *bytes
			}
		}
	}
}

func since(before, after *time.Duration) *time.Duration {
	if before == nil || after == nil {
		return nil
	}
	d := *after - *before
	return &d
}

// grown is by how much a counter grew; nil when it is not there.
func grown(before, after metrics, metric string, labels ...string) *float64 {
	now, ok := after.sum(metric, labels...)
	if !ok {
		return nil
	}
	then, _ := before.sum(metric, labels...)
	grew := now - then
	return &grew
}

// What is derived from a run, each nil when what it needs is not known.

// nodeCPU is the processor time of a validator per committed transaction, in microseconds: the mean over those that ran.
func (r Run) nodeCPU() *float64 {
	var sum float64
	var n int
	for _, node := range r.Nodes {
		if node.CPU != nil {
			sum += float64(node.CPU.Microseconds())
			n++
		}
	}
	return perTransaction(r, sum, n)
}

// loadCPU is the processor time of cairn load per committed transaction, in microseconds.
func (r Run) loadCPU() *float64 {
	if r.LoadCPU == nil {
		return nil
	}
	return perTransaction(r, float64(r.LoadCPU.Microseconds()), 1)
}

func perTransaction(r Run, sum float64, shares int) *float64 {
	if r.Committed == nil || *r.Committed == 0 || shares == 0 {
		return nil
	}
	each := sum / float64(shares) / *r.Committed
	return &each
}

// blockSize is the mean number of transactions of a block that has any.
func (r Run) blockSize() *float64 {
	if r.Committed == nil || r.Blocks == nil || *r.Blocks == 0 {
		return nil
	}
	size := *r.Committed / *r.Blocks
	return &size
}

// maxRSS is the most memory that a validator had, in MiB.
func (r Run) maxRSS() *float64 {
	var most *float64
	for _, n := range r.Nodes {
		if n.MaxRSS == nil {
			continue
		}
		if mib := float64(*n.MaxRSS) / (1 << 20); most == nil || mib > *most {
			most = &mib
		}
	}
	return most
}

// lag is by how many heights the validator that is furthest behind is behind the one that is furthest.
func (r Run) lag() *float64 {
	var least, most *float64
	for _, n := range r.Nodes {
		if n.Height == nil {
			continue
		}
		if least == nil || *n.Height < *least {
			least = n.Height
		}
		if most == nil || *n.Height > *most {
			most = n.Height
		}
	}
	if most == nil {
		return nil
	}
	lag := *most - *least
	return &lag
}

// bodiesPerLink is how often a transaction crosses the way to each other validator: 1 is the least there can be.
func (r Run) bodiesPerLink() *float64 {
	others := len(r.Nodes) - 1
	if r.BodyBytes == nil || r.Load == nil || r.Committed == nil || *r.Committed == 0 || others < 1 {
		return nil
	}
	var sum float64
	for _, bytes := range r.BodyBytes {
		sum += bytes
	}
	crossed := sum / (float64(r.Load.TransactionBytes) * *r.Committed * float64(others))
	return &crossed
}

// summary is the run in a line.
func (r Run) summary() string {
	var parts []string
	if l := r.Load; l != nil {
		parts = append(parts, grouped(l.CommittedPerSecond)+"/s committed")
		if l.LatencyMs.Samples > 0 {
			parts = append(parts, fmt.Sprintf("p50 %s ms, p99 %s ms", short(l.LatencyMs.P50), short(l.LatencyMs.P99)))
		}
	}
	if cpu := r.nodeCPU(); cpu != nil {
		parts = append(parts, short(*cpu)+" us of a node per transaction")
	}
	if r.Error != "" {
		parts = append(parts, "FAILED: "+r.Error)
	}
	return strings.Join(parts, ", ")
}
