//go:build e2e

package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// liar is a ghost with the chain of the member that it was, who lies to whoever catches up: about heights, blocks,
// certificates, by silence and by slowness. It signs nothing.
type liar struct {
	*ghost
	store *storage.Store

	mu     sync.Mutex
	random *rand.Rand
	told   map[string]int // lies
}

// The lies that are told in answers to fetches.
var lies = []string{
	"silence", "slowness", "nothing there", "no blocks", "other heights", "changed blocks", "backwards", "too many", "bare part",
	"spoiled certificates", "spoiled end", "another end",
}

// silence is how long a liar says nothing: in the long run longer than a node waits for an answer.
func silence() time.Duration { return time.Duration(count(3, 11)) * time.Second }

const (
	// slowness is how long a true answer takes, of one block each.
	slowness = 900 * time.Millisecond
	// boasting is how often a liar claims to be somewhere else.
	boasting = 500 * time.Millisecond
)

// lie has a member that does not run lie from now on. Who hears the truth from it besides is told that it is there.
func (m *member) lie() *liar {
	m.net.t.Helper()
	store, closeStore := m.openStore()
	l := &liar{store: store, random: m.net.random("liar " + m.name), told: map[string]int{}}
	l.ghost = m.haunt(func(g *ghost) { g.chain, g.connected = l.answer, l.boast })
	ended := l.end
	l.end = sync.OnceFunc(func() {
		ended()
		closeStore()
	})
	m.net.t.Cleanup(l.end)
	return l
}

// tell draws one of these lies and counts it.
func (l *liar) tell(of []string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lie := of[l.random.IntN(len(of))]
	l.told[lie]++
	return lie
}

// height is how much of the chain the liar has.
func (l *liar) height() uint64 { return uint64(l.store.Tip().Height) }

func (l *liar) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for lie, n := range l.told {
		counts[lie] = n
	}
	return counts
}

// answer answers a fetch.
func (l *liar) answer(req consensus.FetchRequest, maxBlocks, maxBytes int) (*consensus.Chunk, error) {
	honest, err := l.store.Chain(req, maxBlocks, maxBytes)
	if err != nil {
		return nil, err
	}
	blocks, end := honest.Blocks, honest.Certificate
	switch l.tell(lies) {
	case "silence":
		pause(l.ended, silence())
		return honest, nil
	case "slowness":
		pause(l.ended, slowness)
		return l.store.Chain(req, 1, maxBytes)
	case "no blocks":
		return &consensus.Chunk{}, nil
	case "other heights":
		req.From = max(1, req.From/2)
		return l.store.Chain(req, maxBlocks, maxBytes)
	case "changed blocks":
		return &consensus.Chunk{Blocks: with(blocks, len(blocks)/2, l.changed), Certificate: end}, nil
	case "backwards":
		turned := slices.Clone(blocks)
		slices.Reverse(turned)
		return &consensus.Chunk{Blocks: turned, Certificate: end}, nil
	case "too many":
		return &consensus.Chunk{Blocks: slices.Repeat(blocks[:1], consensus.MaxChunkBlocks+1), Certificate: end}, nil
	case "bare part":
		return &consensus.Chunk{Blocks: blocks[:len(blocks)/2]}, nil
	case "spoiled certificates":
		return &consensus.Chunk{Blocks: with(blocks, len(blocks)-1, spoiledParent), Certificate: end}, nil
	case "spoiled end":
		if end == nil {
			end = l.store.HighQC()
		}
		return &consensus.Chunk{Blocks: blocks, Certificate: spoiled(end)}, nil
	case "another end":
		return &consensus.Chunk{Blocks: blocks[:1], Certificate: l.store.HighQC()}, nil
	}
	return nil, storage.ErrNotFound
}

// with is blocks with another one at a place.
func with(blocks []*consensus.Block, at int, change func(*consensus.Block) *consensus.Block) []*consensus.Block {
	out := slices.Clone(blocks)
	out[at] = change(out[at])
	return out
}

// changed is another block in the place of one.
func (l *liar) changed(b *consensus.Block) *consensus.Block {
	header := b.Header
	header.Proposer, header.Timestamp = l.identity.ID, header.Timestamp+1
	return consensus.NewBlock(header, b.QC, nil)
}

// spoiledParent is the very block, of the same id, whose certificate of its parent does not verify.
func spoiledParent(b *consensus.Block) *consensus.Block {
	return consensus.NewBlock(b.Header, spoiled(b.QC), b.Payload)
}

// spoiled is a certificate with a signature that is none.
func spoiled(qc *consensus.QC) *consensus.QC {
	signatures := slices.Clone(qc.Signatures)
	if len(signatures) > 0 {
		signatures[0].Signature[7] ^= 1
	}
	return consensus.NewQC(qc.Data, signatures)
}

// boast tells a peer of certificates: true ones, so that it asks here, old ones, and of heights that there are not.
func (l *liar) boast(ctx context.Context, to consensus.ValidatorID) {
	every(ctx, boasting, func() {
		sync := &consensus.SyncInfo{HighQC: l.store.HighQC()}
		switch l.tell([]string{"the truth", "the truth", "an old certificate", "a height that there is not"}) {
		case "an old certificate":
			if old, err := l.store.QuorumCertificate(l.store.Tip().Height / 2); err == nil {
				sync.HighQC = old
			}
		case "a height that there is not":
			data := sync.HighQC.Data
			for _, info := range []*consensus.BlockInfo{&data.Block, &data.Parent, &data.Commit} {
				info.Height += 1 << 20
				info.Round += 1 << 20
			}
			sync.HighQC = consensus.NewQC(data, sync.HighQC.Signatures)
		}
		l.network.Send(to, &consensus.Message{Sync: sync})
	})
}
