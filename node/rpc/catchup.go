package rpc

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
)

const (
	// reportEvery is how often Config.OnCatchUp is told at most while the node catches up.
	reportEvery = 3 * time.Second
	// lookEvery is how often Run looks whether the node is behind when nothing is committed.
	lookEvery = time.Second
	// worthReporting is the number of blocks from which a catch-up is told of that was over sooner.
	worthReporting = 100
)

// CatchUp is how far a node that was behind has got.
type CatchUp struct {
	Height, Target  consensus.Height        // committed, and certified
	Blocks          consensus.Height        // committed since it began
	Took            time.Duration           // since then
	BlocksPerSecond float64                 // lately; when it is over, in all
	ETA             time.Duration           // 0: not known
	Peers           []consensus.ValidatorID // whom blocks are being fetched from
	Over            bool                    // it has caught up; said once, of those that were told of or brought many blocks
}

// catchUp follows one time that the node is behind. Only Run uses it.
type catchUp struct {
	under bool
	since time.Time
	from  consensus.Height
	told  time.Time // when it was told of last; zero: never
}

// highest returns the highest certified block that the node knows of.
func (s *Server) highest() consensus.BlockInfo {
	target := s.store.Tip()
	if high := s.highQC().Block(); high.Height > target.Height {
		target = high
	}
	if status := s.cfg.Status(); status != nil && status.Fetching.Height > target.Height {
		target = status.Fetching
	}
	return target
}

// catchesUp reports whether the node is behind.
func (s *Server) catchesUp() bool {
	if s.isListener() {
		return s.cfg.Upstream.Status().IsBehind(s.store.Tip().Height)
	}
	status := s.cfg.Status()
	return status != nil && s.isBehind(s.target(status))
}

// follow looks where the node stands, and tells of it when it is time to.
func (s *Server) follow(c *catchUp) {
	now, tip := s.now(), s.store.Tip().Height
	behind := s.catchesUp()
	if behind && !c.under {
		*c = catchUp{under: true, since: now, from: tip}
		s.progress.begin(now, tip, s.highest().Height) // the rate of before says nothing about this one
		return
	}
	if !c.under {
		return
	}
	out := CatchUp{Height: tip, Target: s.highest().Height, Blocks: tip - c.from, Took: now.Sub(c.since), Over: !behind}
	switch {
	case behind && (now.Sub(c.since) < reportEvery || now.Sub(c.told) < reportEvery):
	case behind:
		c.told = now
		out.BlocksPerSecond, out.ETA = s.progress.pace(now, out.Target)
		out.Peers = s.fetching()
		s.cfg.OnCatchUp(out)
	default:
		if !c.told.IsZero() || out.Blocks >= worthReporting {
			if out.Took > 0 {
				out.BlocksPerSecond = float64(out.Blocks) / out.Took.Seconds()
			}
			s.cfg.OnCatchUp(out)
		}
		*c = catchUp{}
	}
}

func (s *Server) fetching() (ids []consensus.ValidatorID) {
	for _, p := range s.cfg.Peers() {
		if p.Fetching {
			ids = append(ids, p.ID)
		}
	}
	return ids
}
