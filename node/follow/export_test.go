package follow

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Canonical is a commit as it is streamed.
type Canonical struct{ Block, Certificate, Proof []byte }

// Proven is what a chain has proven.
type Proven struct {
	Block     *consensus.Block
	QC, Proof *consensus.QC
}

// Checker is a chain for tests.
type Checker struct{ chain *chain }

// NewChecker begins behind a block.
func NewChecker(v *consensus.Verifier, head consensus.BlockInfo) *Checker {
	return &Checker{newChain(v, tip{head.ID, head.Height})}
}

// Take decodes and checks a batch.
func (c *Checker) Take(batch ...Canonical) (out []Proven, err error) {
	var decoded []delivery
	for _, one := range batch {
		d, err := decodeDelivery(one.Block, one.Certificate, one.Proof)
		if err != nil {
			return nil, err
		}
		decoded = append(decoded, d)
	}
	all, err := c.chain.take(decoded)
	for _, p := range all {
		out = append(out, Proven{p.block, p.qc, p.proof})
	}
	return out, err
}

// FaultOf is faultOf.
func FaultOf(err error) Fault { return faultOf(err) }

// MaxUnproven is maxUnproven.
const MaxUnproven = maxUnproven

// Plan is a plan for tests.
type Plan struct{ plan *plan }

// NewPlan makes a plan of n upstreams.
func NewPlan(n int) Plan { return Plan{newPlan(n)} }

// Next is plan.next.
func (p Plan) Next(now time.Time) (int, time.Duration) { return p.plan.next(now) }

// Failed is plan.failed.
func (p Plan) Failed(i int, f Fault, now time.Time) time.Time { return p.plan.failed(i, f, now) }

// Delivered is plan.delivered.
func (p Plan) Delivered(i int) { p.plan.delivered(i) }

// HasOther is plan.hasOther.
func (p Plan) HasOther(than int, now time.Time) bool { return p.plan.hasOther(than, now) }

// SetForwardOrder says whom the Follower follows, for tests of Call.
func (f *Follower) SetForwardOrder(following int) { f.setFollowing(following) }

// ReadQC is readQC.
var ReadQC = readQC
