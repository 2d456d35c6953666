// Package adversary holds validators that break the protocol, one small file each. An adversary sits between an honest
// node and the network, with that node's key: it sees what the node would send and what others send to it, and decides
// what leaves. It is for tests and the simulator alone.
//
// Adversaries draw chance only from their Env, so equal runs give equal attacks. They are used from one goroutine.
package adversary

import (
	"math/rand/v2"
	"time"

	"github.com/cairnchain/cairn/consensus"
)

// Letter is a message on its way out.
type Letter struct {
	To      consensus.ValidatorID // the zero id: everybody else
	Message *consensus.Message
	After   time.Duration // how long it is held back
	Bad     string        // what is wrong with it: no honest node may take it in; empty when there is nothing
}

// Env is what an adversary knows and can do.
type Env struct {
	consensus.Identity                         // its own key; signs whatever it is told to
	Set                *consensus.ValidatorSet // everybody
	Genesis            consensus.BlockInfo     // height 0
	Gang               []consensus.Identity    // all faulty validators of the run, itself included: they share their keys
	Rand               *rand.Rand              // of the run
	Now                func() time.Time        // virtual
	Base               time.Duration           // the shortest round
	Peers              []consensus.ValidatorID // everybody else, in the order of the set
	Heard              *Memory                 // what its node sent and got that verifies
	// Leader returns who leads a round on the chain of a block; of one that nobody knows, the zero id.
	Leader func(parent consensus.Hash, r consensus.Round) consensus.ValidatorID
	// Failed returns the failed leaders that a block must name, of a round and time, on the chain of a block, and those that
	// it may name.
	Failed func(parent consensus.Hash, r consensus.Round, t consensus.Timestamp) (least, most []byte)
	// Reach counts a deed, by its name: an adversary that never acted proves nothing.
	Reach func(string)
}

// Adversary decides what leaves a faulty validator. Honest is the base of each: it changes nothing.
type Adversary interface {
	// Send returns what leaves in the place of a message that the honest node sends; to is zero for a broadcast. The
	// message must not be changed.
	Send(e *Env, to consensus.ValidatorID, m *consensus.Message) []Letter
	// Receive is told of a message that verifies before the honest node gets it, and returns what leaves because of it.
	Receive(e *Env, from consensus.ValidatorID, m *consensus.Message) []Letter
	// Answer returns what a peer gets that asked for blocks, and how much later than it would; honest is the honest answer,
	// nil when there is none. Nil: no answer.
	Answer(e *Env, req consensus.FetchRequest, honest *consensus.Chunk) (*consensus.Chunk, time.Duration)
	// Give returns what a peer gets that asked for transactions of a proposal of its node's, and how much later than it
	// would; honest is the honest answer, nil when there is none. Nil: no answer.
	Give(e *Env, req consensus.PayloadRequest, honest [][]byte) ([][]byte, time.Duration)
	// Wake is called every base interval, and returns what leaves unasked.
	Wake(e *Env) []Letter
}

// Honest changes nothing.
type Honest struct{}

// Send is part of Adversary.
func (Honest) Send(_ *Env, to consensus.ValidatorID, m *consensus.Message) []Letter {
	return []Letter{{To: to, Message: m}}
}

// Receive is part of Adversary.
func (Honest) Receive(*Env, consensus.ValidatorID, *consensus.Message) []Letter { return nil }

// Answer is part of Adversary.
func (Honest) Answer(_ *Env, _ consensus.FetchRequest, honest *consensus.Chunk) (*consensus.Chunk, time.Duration) {
	return honest, 0
}

// Give is part of Adversary.
func (Honest) Give(_ *Env, _ consensus.PayloadRequest, honest [][]byte) ([][]byte, time.Duration) {
	return honest, 0
}

// Wake is part of Adversary.
func (Honest) Wake(*Env) []Letter { return nil }
