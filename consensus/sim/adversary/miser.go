package adversary

import (
	"bytes"
	"slices"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Miser proposes as the honest do, and answers who lacks transactions of that with anything but those: nothing, others,
// fewer each time, more, too large ones, the truth when it is too late (B03, B12). Whoever holds them votes; the others
// fetch the block when it is certified.
type Miser struct {
	Honest
	next int
}

// Stinginess is the names of what a Miser gives.
func Stinginess() []string {
	return []string{"nothing", "no transactions", "another one", "one bit", "exchanged", "too many", "too large", "one at a time", "too late"}
}

// Give is part of Adversary.
func (m *Miser) Give(e *Env, _ consensus.PayloadRequest, honest [][]byte) ([][]byte, time.Duration) {
	if len(honest) == 0 {
		return nil, 0
	}
	all := Stinginess()
	how := all[m.next%len(all)]
	m.next++
	e.Reach(how)
	switch how {
	case "no transactions":
		return [][]byte{}, 0
	case "another one":
		return [][]byte{bytes.Repeat([]byte{1}, len(honest[0]))}, 0
	case "one bit":
		wrong := slices.Clone(honest)
		wrong[len(wrong)-1] = bytes.Clone(wrong[len(wrong)-1])
		wrong[len(wrong)-1][0] ^= 1
		return wrong, 0
	case "exchanged":
		wrong := append(slices.Clone(honest[1:]), honest[0])
		if len(honest) == 1 {
			wrong[0] = append(bytes.Clone(wrong[0]), 0)
		}
		return wrong, 0
	case "too many":
		return append(slices.Clone(honest), honest[0]), 0
	case "too large":
		return [][]byte{make([]byte, consensus.MaxTransactionBytes+1)}, 0
	case "one at a time":
		return honest[:1], e.Base / 16
	case "too late":
		return honest, e.Base
	}
	return nil, 0
}
