package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/rpc"
)

// logCatchUp says how a node that is behind gets on.
func (n *Node) logCatchUp(c rpc.CatchUp) {
	took := c.Took.Round(time.Second / 10)
	if c.Over {
		n.log.Info(fmt.Sprintf("caught up: height %d, %d blocks in %v, %.0f blocks/s", c.Height, c.Blocks, took, c.BlocksPerSecond),
			"height", c.Height, "blocks", c.Blocks)
		return
	}
	from := "nobody at present"
	if len(c.Peers) > 0 {
		from = n.namesOf(c.Peers)
	}
	togo := "time to go unknown"
	if c.ETA > 0 {
		togo = fmt.Sprintf("%v to go", max(c.ETA.Round(time.Second), time.Second))
	}
	n.log.Info(fmt.Sprintf("catching up: height %d of %d, %.0f blocks/s, %s, from %s", c.Height, c.Target, c.BlocksPerSecond, togo, from),
		"height", c.Height, "target", c.Target)
}

func (n *Node) namesOf(ids []consensus.ValidatorID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.Short()
		if v, ok := n.genesis.Validators.Get(id); ok && v.Name != "" {
			names[i] = v.Name
		}
	}
	return strings.Join(names, ", ")
}
