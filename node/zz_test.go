package node

import (
	"os"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkZZ(b *testing.B) {
	c := newCluster(b, 4)
	chain := newLongChain(c, c.members[0].home)
	chain.grow(3000, 20)
	chain.finish()
	f, _ := os.Create(os.Getenv("ZZ"))
	a := cpu()
	pprof.StartCPUProfile(f)
	took := c.catchUp(3000)
	pprof.StopCPUProfile()
	b.Logf("took %v cpu %v", took, cpu()-a)
	a = cpu()
	took = chain.replay(c.members[0].home, b.TempDir())
	b.Logf("local took %v cpu %v", took, cpu()-a)
}
