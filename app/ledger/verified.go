package ledger

import (
	"sync"
	"sync/atomic"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
)

const (
	// rememberedBytes bounds the memory of verified transactions, in two generations: when the young one weighs half of
	// it, it becomes the old one, and the old one is forgotten. It has room for about 110,000 ordinary transactions,
	// more than the mempool and the uncommitted blocks hold, so what was verified at admission is not verified again.
	rememberedBytes = 64 << 20
	// rememberedEntry is the weight of an entry beside what the sender of the transaction chooses the size of.
	rememberedEntry = 512
	// verifyBatch is the number of signatures verified together.
	verifyBatch = 256
)

// checked is a transaction of this chain that decodes strictly and whose sender derives from its key. Immutable.
type checked struct {
	hash   consensus.Hash // SHA-256 of the transaction as carried, signature included
	id     consensus.Hash
	key    signature.PublicKey
	sender string // the address as text
	body   Body
	total  uint64 // sum of the outputs
}

// weight is about what remembering the transaction takes, in bytes.
func (c *checked) weight() int {
	const output = consensus.ValidatorIDSize + 8
	return rememberedEntry + len(c.body.Memo) + output*len(c.body.Outputs)
}

// claim is a checked transaction whose signature is still to be verified. Immutable.
type claim struct {
	tx   *checked
	item signature.Item
}

// verified remembers the transactions whose signatures hold, by the hash of the whole signed transaction. Safe for
// concurrent use.
type verified struct {
	scheme signature.Scheme
	count  atomic.Uint64 // signatures handed to scheme

	mu         sync.Mutex
	young, old map[consensus.Hash]*checked
	weight     int // of young
	limit      int // of a generation's weight
}

func newVerified(scheme signature.Scheme) *verified {
	return &verified{scheme: scheme, young: make(map[consensus.Hash]*checked), limit: rememberedBytes / 2}
}

// find returns the transaction of this hash if its signature was verified, else nil.
func (v *verified) find(hash consensus.Hash) *checked {
	v.mu.Lock()
	defer v.mu.Unlock()
	if tx, ok := v.young[hash]; ok {
		return tx
	}
	tx, ok := v.old[hash]
	if ok {
		v.keep(tx) // still in use: it outlives the next change of generation
	}
	return tx
}

// holds wants mu held.
func (v *verified) holds(hash consensus.Hash) bool {
	_, ok := v.young[hash]
	if !ok {
		_, ok = v.old[hash]
	}
	return ok
}

// keep wants mu held.
func (v *verified) keep(tx *checked) {
	if v.weight+tx.weight() > v.limit {
		v.old, v.young, v.weight = v.young, make(map[consensus.Hash]*checked), 0
	}
	if _, ok := v.young[tx.hash]; !ok {
		v.young[tx.hash] = tx
		v.weight += tx.weight()
	}
}

// verify checks the claims, remembers those that hold, and returns the positions of those that do not, rising.
func (v *verified) verify(claims []*claim) (bad []int) {
	for first := 0; first < len(claims); first += verifyBatch {
		batch := claims[first:min(first+verifyBatch, len(claims))]
		s := search{of: v, items: make([]signature.Item, 0, len(batch)), at: make([]int, 0, len(batch))}
		v.mu.Lock()
		for i, c := range batch {
			if !v.holds(c.tx.hash) { // else somebody verified it since the claim was made
				s.items, s.at = append(s.items, c.item), append(s.at, first+i)
			}
		}
		v.mu.Unlock()
		if len(s.items) > 0 && !s.passes(0, len(s.items)) {
			s.budget = maxSearch * len(s.items)
			s.among(0, len(s.items))
		}
		v.mu.Lock()
		culprits := s.bad
		for _, at := range s.at {
			if len(culprits) > 0 && culprits[0] == at {
				culprits = culprits[1:]
				continue
			}
			v.keep(claims[at].tx)
		}
		v.mu.Unlock()
		bad = append(bad, s.bad...)
	}
	return bad
}

// maxSearch bounds the search for the culprits of a batch, which takes k·log n batches for k of n: when so many times its
// signatures were verified in parts, the rest is verified one by one. The search for one ends before that.
const maxSearch = 2

// search finds the bad signatures of a batch that does not pass.
type search struct {
	of     *verified
	items  []signature.Item
	at     []int // of each item, the position of its claim
	budget int
	bad    []int
}

func (s *search) passes(from, to int) bool {
	s.budget -= to - from
	s.of.count.Add(uint64(to - from))
	return s.of.scheme.Verify(s.items[from:to])
}

// among finds the culprits of a part that does not pass. When its first half passes, the second does not.
func (s *search) among(from, to int) {
	if to-from == 1 {
		s.bad = append(s.bad, s.at[from])
		return
	}
	if s.budget < 0 {
		for i := from; i < to; i++ {
			if !s.passes(i, i+1) {
				s.bad = append(s.bad, s.at[i])
			}
		}
		return
	}
	middle := (from + to) / 2
	first := s.passes(from, middle)
	if !first {
		s.among(from, middle)
	}
	if first || !s.passes(middle, to) {
		s.among(middle, to)
	}
}
