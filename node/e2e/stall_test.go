//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// twoCappedTimeouts is what the design promises for the return of a quorum.
	twoCappedTimeouts = 20 * time.Second
	// returnBound is what the tests insist on: that, and some time to start a process on a machine that does much else.
	returnBound = twoCappedTimeouts + 10*time.Second
)

// Without a quorum nothing commits, the nodes that are left say why, and one that returns is enough.
func TestNoQuorum(t *testing.T) {
	for _, way := range []struct {
		name         string
		stop, resume func(*member)
	}{
		{
			"stopped",
			func(m *member) { m.process.signal(syscall.SIGSTOP) },
			func(m *member) { m.process.signal(syscall.SIGCONT) },
		},
		{"killed", (*member).kill, func(m *member) { m.start() }},
	} {
		t.Run(way.name, func(t *testing.T) {
			n := newTestnet(newBed(t))
			n.startAll()
			load := n.startLoad(n.chainID, n.alice, 0, 2, n.urls())
			load.awaitMore(40)
			acked := load.finish()
			live, lost := n.members[:2], n.members[2:]
			for _, m := range lost {
				way.stop(m)
			}
			tx := n.alice.transfer(n.chainID, 1, 1, output{n.bob.address, 7})
			n.checkNothingCommits(live, tx)
			for _, m := range live {
				m.checkSaysWhy(lost)
			}
			n.checkNothingCommits(live, tx)

			begin := time.Now()
			way.resume(lost[0])
			var answer submitted
			n.awaitWithin(returnBound, "a commit with three of four", func() bool {
				status, err := call(t.Context(), live[0].rest+"/v1/transactions", tx.request("1s"), &answer)
				return err == nil && status == http.StatusOK && answer.State == "COMMITTED"
			})
			took := time.Since(begin)
			t.Logf("%s: the first commit came %v after one of the two returned (two capped timeouts are %v)", way.name,
				took, twoCappedTimeouts)
			acked[tx.id] = answer.Receipt
			way.resume(lost[1])
			for _, m := range n.members {
				m.awaitReady()
			}
			if history := n.agreed(acked); len(history.places) < 40 {
				t.Errorf("only %d transactions", len(history.places))
			}
			if s := n.signedOnce(); s.count["timeout"] < 2 {
				t.Errorf("the nodes saw %v", s.count)
			}
		})
	}
}

// checkNothingCommits posts a transaction, waits for it in vain, and wants all reads to work.
func (n *testnet) checkNothingCommits(live []*member, tx transfer) {
	n.t.Helper()
	before := live[0].status().Height
	var answer submitted
	status, err := call(n.t.Context(), live[0].rest+"/v1/transactions", tx.request("3s"), &answer)
	if err != nil || status != http.StatusOK || answer.State != "PENDING" {
		n.t.Fatalf("without a quorum: %d, %v, %+v", status, err, answer)
	}
	for _, m := range live {
		var latest block
		n.get(m.rest, "/v1/blocks/latest", &latest)
		for _, other := range latest.Transactions {
			if other.ID == tx.id {
				n.t.Errorf("%s has committed it", m.name)
			}
		}
		// What was certified before may still commit, and nothing else.
		if latest.Height > before+2 {
			n.t.Errorf("%s went from height %d to %d", m.name, before, latest.Height)
		}
		var a account
		n.get(m.rest, "/v1/accounts/"+n.alice.address, &a)
		if a.Sequence != 1 || a.Balance == 0 {
			n.t.Errorf("%s: %+v", m.name, a)
		}
		for _, path := range []string{"/v1/chain", "/v1/validators", "/v1/blocks", "/v1/quorum-certificates/latest"} {
			n.get(m.rest, path, &struct{}{})
		}
	}
}

// checkSaysWhy wants /readyz and cairn status to name those that are lost.
func (m *member) checkSaysWhy(lost []*member) {
	t := m.net.t
	t.Helper()
	m.net.await(m.name+" is not ready and names the lost", func() bool {
		status, ready, reasons := readiness(t.Context(), m.rest)
		return status == http.StatusServiceUnavailable && !ready && namesAll(strings.Join(reasons, "; "), lost) &&
			strings.Contains(strings.Join(reasons, "; "), "stalled")
	})
	_, _, reasons := readiness(t.Context(), m.rest)
	s := m.status()
	if s.Ready || len(s.Reasons) == 0 || len(s.MissingVoters) != len(lost) {
		t.Errorf("%s: %+v", m.name, s)
	}
	o := m.net.cairn("status", "--home", m.home)
	if o.code != 0 || !strings.Contains(o.out, "because") || !namesAll(o.out, lost) {
		t.Errorf("cairn status: exit %d: %s%s", o.code, o.out, o.errOut)
	}
	t.Logf("%s: %s", m.name, strings.Join(reasons, "; "))
}

func namesAll(text string, members []*member) bool {
	for _, m := range members {
		if !strings.Contains(text, m.name) {
			return false
		}
	}
	return true
}
