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

// claim is a checked transaction whose signature is still to be verified.
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

// verify checks the claims, remembers those that hold, and returns the hashes of those that do not.
func (v *verified) verify(claims []claim) (bad map[consensus.Hash]bool) {
	for len(claims) > 0 {
		n := min(len(claims), verifyBatch)
		bad = v.bisect(claims[:n], bad)
		claims = claims[n:]
	}
	return bad
}

// bisect finds the culprits of a batch that fails: a few bad signatures among many cost a few batches more.
func (v *verified) bisect(claims []claim, bad map[consensus.Hash]bool) map[consensus.Hash]bool {
	items := make([]signature.Item, len(claims))
	for i := range claims {
		items[i] = claims[i].item
	}
	v.count.Add(uint64(len(items)))
	if v.scheme.Verify(items) {
		v.mu.Lock()
		defer v.mu.Unlock()
		for i := range claims {
			v.keep(claims[i].tx)
		}
		return bad
	}
	if len(claims) == 1 {
		if bad == nil {
			bad = make(map[consensus.Hash]bool)
		}
		bad[claims[0].tx.hash] = true
		return bad
	}
	half := len(claims) / 2
	return v.bisect(claims[half:], v.bisect(claims[:half], bad))
}
