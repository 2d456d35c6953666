package sim

import (
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/sim/adversary"
)

// actor is the adversary between a faulty validator and the network.
type actor struct {
	v    *validator
	name string
	adversary.Adversary
	env adversary.Env
}

// corrupt hands the faulty validators over to their adversaries.
func (w *world) corrupt(signers []consensus.Signer) {
	var gang []consensus.Identity
	for _, f := range w.knobs.faulty {
		v := w.validators[f.member]
		gang = append(gang, consensus.Identity{ID: v.id, Domain: w.genesis.Domain(), Signer: signers[f.member]})
	}
	for i, f := range w.knobs.faulty {
		v := w.validators[f.member]
		v.faulty = true
		v.actor = &actor{
			v: v, name: f.name, Adversary: w.play(i, f),
			env: adversary.Env{
				Identity: gang[i], Set: w.genesis.Validators, Genesis: w.genesisInfo(), Gang: gang, Rand: w.rng,
				Now: v.Now, Base: w.knobs.timing.Base, Heard: adversary.NewMemory(w.genesisInfo()),
				Leader: w.lineage.leader, Failed: w.lineage.failed,
				Reach: func(deed string) {
					w.reach("adversary " + f.name + " acted")
					w.reach("adversary " + f.name + ": " + deed)
				},
			},
		}
		for m := range w.genesis.Validators.Len() {
			if m != f.member {
				v.actor.env.Peers = append(v.actor.env.Peers, w.genesis.Validators.At(m).ID)
			}
		}
		w.reach("adversary " + f.name)
	}
}

// play makes the adversary of the i-th faulty validator.
func (w *world) play(i int, f faulty) adversary.Adversary {
	if w.cast != nil {
		return w.cast(i)
	}
	return adversary.Zoo()[f.name]()
}

// identity returns what a member of the set signs with; signing is deterministic.
func (w *world) identity(id consensus.ValidatorID) (consensus.Identity, bool) {
	i := w.genesis.Validators.Index(id)
	if i < 0 {
		return consensus.Identity{}, false
	}
	return consensus.Identity{ID: id, Domain: w.genesis.Domain(), Signer: w.validators[i].signer}, true
}

// isFaulty reports whether a member of the set breaks the protocol, itself or by a twin.
func (w *world) isFaulty(id consensus.ValidatorID) bool {
	i := w.genesis.Validators.Index(id)
	return i < 0 || w.validators[i].faulty
}

func (a *actor) send(to consensus.ValidatorID, m *consensus.Message) {
	a.env.Heard.Hear(m)
	a.post(a.Send(&a.env, to, m))
}

func (a *actor) receive(from consensus.ValidatorID, m *consensus.Message) {
	a.env.Heard.Hear(m)
	a.post(a.Receive(&a.env, from, m))
}

func (a *actor) answer(req consensus.FetchRequest, honest *consensus.Chunk) (*consensus.Chunk, time.Duration) {
	return a.Answer(&a.env, req, honest)
}

func (a *actor) give(req consensus.PayloadRequest, honest [][]byte) ([][]byte, time.Duration) {
	return a.Give(&a.env, req, honest)
}

// post lets letters leave, at once or later.
func (a *actor) post(letters []adversary.Letter) {
	for _, letter := range letters {
		leave := func() {
			a.v.w.trace.line(a.v.w.now, a.v.i, "act", letter.Message.Kind(), " r", uint64(letter.Message.Round()), " ", letter.Bad)
			if letter.Bad == "" {
				a.v.w.wire.witness(a.v, letter.Message)
			}
			a.v.emit(letter)
		}
		if letter.After <= 0 {
			leave()
			continue
		}
		a.v.later(letter.After, leave)
	}
}

// wake lets the adversary act unasked, for as long as its node lives.
func (v *validator) wake() {
	if v.actor == nil {
		return
	}
	v.later(max(v.w.knobs.timing.Base, time.Millisecond), func() {
		v.actor.post(v.actor.Wake(&v.actor.env))
		v.wake()
	})
}
