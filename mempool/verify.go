package mempool

import (
	"runtime"
	"sync"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
)

const (
	// verifyBatch is the number of claims decided together, of all callers; more wait for the next batch.
	verifyBatch = 256
	// rememberedBad bounds the memory of transactions that can never be good, by about 8 MB; beyond it the oldest is
	// forgotten, and would be looked at again.
	rememberedBad = 1 << 14
)

// verifier has the app decide claims for all callers together. A caller whose turn comes takes what waits, of whomever:
// when nothing is going on a claim waits for nothing, and the more callers there are the larger the batches. It starts
// no goroutine and waits for no timer. Safe for concurrent use.
type verifier struct {
	app   app.App
	turns chan struct{} // holds one for each caller that has the app verify now

	mu      sync.Mutex
	open    map[consensus.Hash]*ticket // all that are not decided
	waiting []*ticket                  // those that nobody has taken, in order of arrival
	bad     memory[*app.Rejection]     // by the hash of the whole transaction: the refusals that never change
}

// ticket is a transaction whose claim is to be decided, once, whoever asks.
type ticket struct {
	hash      consensus.Hash
	claim     app.Claim
	first     *caller
	others    []*caller      // who asked while it was open
	rejection *app.Rejection // the decision; to be read when the caller is done
}

// caller is somebody who waits for tickets.
type caller struct {
	done    chan struct{} // closed when all are decided
	open    int           // not decided
	untaken int           // those it was the first to ask for, and that are in no batch
}

// newVerifier: at most atOnce callers verify at a time. 0 is one for every two processors: the others are for the rounds,
// and fewer at a time make larger batches.
func newVerifier(a app.App, atOnce int) *verifier {
	if atOnce == 0 {
		atOnce = max(1, runtime.NumCPU()/2)
	}
	return &verifier{
		app: a, turns: make(chan struct{}, atOnce), open: make(map[consensus.Hash]*ticket),
		bad: newMemory[*app.Rejection](rememberedBad),
	}
}

// lasts reports whether a refusal depends neither on state nor on time, so that the very same transaction can never pass.
func lasts(reason app.Reason) bool {
	switch reason {
	case app.ReasonMalformed, app.ReasonTooLarge, app.ReasonWrongChain, app.ReasonWrongSender, app.ReasonBadSignature:
		return true
	default:
		return false
	}
}

// refused remembers a refusal, if it lasts.
func (v *verifier) refused(hash consensus.Hash, why *app.Rejection) {
	if lasts(why.Reason) {
		v.mu.Lock()
		v.bad.remember(hash, why)
		v.mu.Unlock()
	}
}

// recall sets the rejections of those that are remembered as bad.
func (v *verifier) recall(offers []*offer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, o := range offers {
		o.rejection, _ = v.bad.find(o.hash)
	}
}

// decide decides the claims of these offers and sets the rejections of those that do not hold. It returns when all are
// decided, which takes as long as the batches ahead of them, and their own.
func (v *verifier) decide(offers []*offer) {
	c, tickets := v.enter(offers)
	if len(tickets) == 0 {
		return
	}
	for v.verify(c) {
	}
	<-c.done
	for i, t := range tickets {
		if t != nil {
			offers[i].rejection = t.rejection
		}
	}
}

// verify waits for its turn and decides one batch. False: nothing of c's waits for a batch any more.
func (v *verifier) verify(c *caller) bool {
	select {
	case <-c.done:
		return false
	case v.turns <- struct{}{}:
	}
	batch := v.take(c)
	if len(batch) > 0 {
		v.settle(batch)
	}
	<-v.turns
	return len(batch) > 0
}

// enter queues the claims, each once, and tells who waits for them; no tickets when there is nothing to wait for.
func (v *verifier) enter(offers []*offer) (c *caller, tickets []*ticket) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, o := range offers {
		if o.entry.info.Claim == nil {
			continue
		}
		if o.rejection, _ = v.bad.find(o.hash); o.rejection != nil { // decided since it was recalled
			continue
		}
		if c == nil {
			c, tickets = &caller{done: make(chan struct{})}, make([]*ticket, len(offers))
		}
		t, ok := v.open[o.hash]
		if ok {
			t.others = append(t.others, c)
		} else {
			t = &ticket{hash: o.hash, claim: o.entry.info.Claim, first: c}
			v.open[t.hash] = t
			v.waiting = append(v.waiting, t)
			c.untaken++
		}
		tickets[i] = t
		c.open++
	}
	return c, tickets
}

// take returns the next batch, if there is something of c's that is in none: else others are at it.
func (v *verifier) take(c *caller) []*ticket {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.untaken == 0 {
		return nil
	}
	n := min(len(v.waiting), verifyBatch)
	batch := v.waiting[:n:n]
	if v.waiting = v.waiting[n:]; len(v.waiting) == 0 {
		v.waiting = nil // the array is the batch's
	}
	for _, t := range batch {
		t.first.untaken--
	}
	return batch
}

// settle decides a batch and wakes those whose last tickets it had.
func (v *verifier) settle(batch []*ticket) {
	claims := make([]app.Claim, len(batch))
	for i, t := range batch {
		claims[i] = t.claim
	}
	rejections := v.app.Verify(claims)
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, t := range batch {
		t.rejection = rejections[i]
		if t.rejection != nil && lasts(t.rejection.Reason) {
			v.bad.remember(t.hash, t.rejection)
		}
		delete(v.open, t.hash)
		t.first.decided()
		for _, c := range t.others {
			c.decided()
		}
	}
}

func (c *caller) decided() {
	if c.open--; c.open == 0 {
		close(c.done)
	}
}
