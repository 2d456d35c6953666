package node

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/storage"
)

// BenchmarkSync measures how fast a fresh node catches up from another one through the real network on loopback, beside
// what the same machine needs to read the same blocks from its own disk, verify their certificates, execute and commit
// them one after the other. One iteration is a whole catch-up: run it with -benchtime 1x.
func BenchmarkSync(b *testing.B) {
	for _, size := range []struct{ blocks, transfers int }{{3000, 20}, {3000, 1}, {600, 500}} {
		b.Run(fmt.Sprintf("blocks=%d/transfers=%d", size.blocks, size.transfers), func(b *testing.B) {
			for range b.N {
				c := newCluster(b, 4)
				chain := newLongChain(c, c.members[0].home)
				chain.grow(size.blocks, size.transfers)
				chain.finish()
				perSecond := func(took time.Duration) float64 { return float64(size.blocks) / took.Seconds() }
				local, sync := perSecond(chain.replay(c.members[0].home, b.TempDir())), perSecond(c.catchUp(size.blocks))
				b.ReportMetric(local, "local-blocks/s")
				b.ReportMetric(sync, "sync-blocks/s")
				b.ReportMetric(local/sync, "local/sync")
			}
		})
	}
}

// replay commits all blocks of a home in a new folder, one after the other, and returns how long that took.
func (l *longChain) replay(home Home, dir string) time.Duration {
	from, to, ledger := l.open(home.DataDir()), l.open(dir), l.newLedger()
	verifier := &consensus.Verifier{
		Domain: l.genesis.Domain(), Set: l.genesis.Validators, Genesis: from.Genesis(),
		Scheme: signature.NewEd25519(), Cache: engine.NewCertificates(certificateMemory),
	}
	_, history := l.first().Block()
	start := time.Now()
	for h := consensus.Height(1); h <= from.Tip().Height; h++ {
		record, err := from.Block(h)
		must(l.t, err)
		for _, qc := range []*consensus.QC{record.Block.QC, record.QC, record.Proof} {
			_, err = verifier.QC(qc)
			must(l.t, err)
		}
		commit := executed(l.t, ledger, to.State(), record.Block, history)
		history, commit.QC, commit.Proof = commit.History, record.QC, record.Proof
		must(l.t, to.Commit(commit))
	}
	took := time.Since(start)
	if from.Tip() != to.Tip() {
		l.t.Fatalf("tips %v and %v", from.Tip(), to.Tip())
	}
	must(l.t, from.Close())
	must(l.t, to.Close())
	return took
}

// catchUp runs the first two members, and returns how long the second one, which is fresh, takes to commit all blocks of
// the first but the newest.
func (c *cluster) catchUp(blocks int) time.Duration {
	c.t.Helper()
	var listeners []net.Listener
	for _, m := range c.members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(c.t, err)
		listeners, m.address = append(listeners, l), l.Addr().String()
	}
	for _, l := range listeners[2:] {
		must(c.t, l.Close())
	}
	c.members[0].start(listeners[0])
	start := time.Now()
	c.members[1].start(listeners[1])
	c.members[1].await("all blocks", func(s *storage.Store) bool { return s.Tip().Height >= consensus.Height(blocks)-1 })
	took := time.Since(start)
	c.members[0].halt()
	c.members[1].halt()
	return took
}
