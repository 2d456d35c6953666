package peer

import (
	"sync"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Note is a remark on what happened, for logs and metrics; the set is closed. Of each kind about one peer only a few are
// made in a while; Suppressed says how many were left out before this one.
//
//sumtype:decl
type Note interface{ note() }

type (
	// Up says that our consensus stream to a peer is up.
	Up struct {
		Peer       consensus.ValidatorID
		Suppressed int
	}
	// Down says that our consensus stream to a peer ended, or that the first attempt to open one failed. Attempts that
	// follow are silent.
	Down struct {
		Peer       consensus.ValidatorID
		Reason     error
		Suppressed int
	}
	// Refused says that a peer and we do not agree on who it is or on the chain, or that it was refused for its
	// faults. The reason is a *HandshakeError, an *IdentityError, ErrTooManyFaults, or what the peer told.
	Refused struct {
		Peer       consensus.ValidatorID
		Reason     error
		Suppressed int
	}
	// StrangerRefused says that somebody without a key of the validator set tried to connect. These are limited all
	// together.
	StrangerRefused struct {
		Address    string
		Reason     error
		Suppressed int
	}
	// MessageRejected says that a peer sent what is malformed or does not verify.
	MessageRejected struct {
		From       consensus.ValidatorID
		Reason     error
		Suppressed int
	}
)

func (Up) note()              {}
func (Down) note()            {}
func (Refused) note()         {}
func (StrangerRefused) note() {}
func (MessageRejected) note() {}

type noteKind uint8

const (
	noteUp noteKind = iota
	noteDown
	noteRefused
	noteStranger
	noteRejected
)

type noteKey struct {
	kind noteKind
	peer consensus.ValidatorID // zero for strangers
}

// allowance is a bucket of notes.
type allowance struct {
	left       float64
	at         time.Time
	suppressed int
}

// notes passes notes on at a limited rate. It holds a bucket per kind and peer, so it is bounded by the validator set.
type notes struct {
	observe func(Note)
	now     func() time.Time

	mu      sync.Mutex
	buckets map[noteKey]*allowance
}

func newNotes(observe func(Note), now func() time.Time) *notes {
	return &notes{observe: observe, now: now, buckets: make(map[noteKey]*allowance)}
}

// say makes a note if one is allowed; it is told how many were not since the last.
func (n *notes) say(kind noteKind, peer consensus.ValidatorID, note func(suppressed int) Note) {
	if n.observe == nil {
		return
	}
	if suppressed, ok := n.take(noteKey{kind, peer}); ok {
		n.observe(note(suppressed))
	}
}

func (n *notes) take(key noteKey) (suppressed int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	a := n.buckets[key]
	if a == nil {
		a = &allowance{left: noteBurst, at: now}
		n.buckets[key] = a
	}
	a.left = min(noteBurst, a.left+now.Sub(a.at).Seconds()/noteEvery.Seconds())
	a.at = now
	if a.left < 1 {
		a.suppressed++
		return 0, false
	}
	a.left--
	suppressed, a.suppressed = a.suppressed, 0
	return suppressed, true
}

func (n *notes) up(peer consensus.ValidatorID) {
	n.say(noteUp, peer, func(s int) Note { return Up{peer, s} })
}

func (n *notes) down(peer consensus.ValidatorID, reason error) {
	n.say(noteDown, peer, func(s int) Note { return Down{peer, reason, s} })
}

func (n *notes) refused(peer consensus.ValidatorID, reason error) {
	n.say(noteRefused, peer, func(s int) Note { return Refused{peer, reason, s} })
}

func (n *notes) stranger(address string, reason error) {
	n.say(noteStranger, consensus.ValidatorID{}, func(s int) Note { return StrangerRefused{address, reason, s} })
}

func (n *notes) rejected(from consensus.ValidatorID, reason error) {
	n.say(noteRejected, from, func(s int) Note { return MessageRejected{from, reason, s} })
}
