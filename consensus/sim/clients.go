package sim

import (
	"time"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/mempool"
)

// clients post transfers between their accounts to validators, and again until they are committed.
type clients struct {
	w       *world
	list    []*client
	byTx    map[string]*transfer // everything that was ever signed, by its bytes
	stopped bool
}

type client struct {
	signer  consensus.Signer
	address ledger.Address
	next    uint64      // sequence of the next transfer
	open    []*transfer // not seen committed, by sequence; several may share one
}

// transfer is what a client asked for, in the checkers' own words.
type transfer struct {
	tx          app.Tx
	from, to    int // positions in clients.list
	sequence    uint64
	fee, amount uint64
	committed   consensus.Height // 0: not yet
}

const (
	minimumFee   = 2
	outstanding  = 12 // transfers of a client that are not committed
	resendAfter  = 700 * time.Millisecond
	probesWanted = 3
)

func newClients(w *world) *clients {
	c := &clients{w: w, byTx: map[string]*transfer{}}
	for i := range w.knobs.accounts {
		s := w.keys.signer('c', i)
		c.list = append(c.list, &client{signer: s, address: ledger.AddressOf(s.Public())})
	}
	return c
}

func (c *clients) document() []byte {
	d := ledger.Document{MinimumFee: minimumFee}
	for _, client := range c.list {
		account := ledger.GenesisAccount{Address: client.address.Text(ledger.DefaultPrefix), Balance: firstBalance}
		d.Accounts = append(d.Accounts, account)
	}
	return d.Encode()
}

// begin posts at random until the clients are stopped, and resends for ever.
func (c *clients) begin() {
	if len(c.list) == 0 {
		return
	}
	var post, resend func()
	post = func() {
		if c.stopped {
			return
		}
		c.postOne()
		c.w.after(c.w.between(0, 2*c.w.knobs.load), post)
	}
	resend = func() {
		for _, client := range c.list {
			for _, t := range client.open {
				c.offer(t)
			}
		}
		c.w.after(resendAfter, resend)
	}
	c.w.after(0, post)
	if c.w.knobs.desks == nil {
		c.w.after(resendAfter, resend)
	}
}

func (c *clients) postOne() {
	from := c.w.rng.IntN(len(c.list))
	client := c.list[from]
	if len(client.open) >= outstanding {
		return
	}
	sequence := client.next
	if n := len(client.open); n > 0 && c.w.chance(0.05) { // a second transfer for a sequence in use
		sequence = client.open[c.w.rng.IntN(n)].sequence
		c.w.reach("sequence used twice")
	} else {
		client.next++
	}
	c.offer(c.sign(from, sequence))
}

func (c *clients) sign(from int, sequence uint64) *transfer {
	w, client := c.w, c.list[from]
	t := &transfer{
		from: from, to: w.rng.IntN(len(c.list)), sequence: sequence,
		fee: minimumFee + w.rng.Uint64N(50), amount: 1 + w.rng.Uint64N(5000),
	}
	body := ledger.Body{
		ChainID: chainID, Sender: client.address, Sequence: sequence, Fee: t.fee,
		Outputs: []ledger.Output{{To: c.list[t.to].address, Amount: t.amount}},
	}
	raw, err := body.Encode(ledger.DefaultPrefix)
	w.must(err)
	t.tx = ledger.Transaction{
		PublicKey: client.signer.Public(), Signature: client.signer.Sign(ledger.SigningBytes(raw)), Body: raw,
	}.Encode()
	c.byTx[string(t.tx)] = t
	client.open = append(client.open, t)
	return t
}

// offer gives a transfer to some validators, at least one.
func (c *clients) offer(t *transfer) {
	if desks := c.w.knobs.desks; desks != nil {
		c.w.validators[desks[c.w.rng.IntN(len(desks))]].admit(t.tx, mempool.Client)
		return
	}
	first := c.w.rng.IntN(len(c.w.validators))
	for i, v := range c.w.validators {
		if v.alive && (i == first || c.w.chance(0.3)) {
			v.admit(t.tx, mempool.Client)
		}
	}
}

// settle forgets what can no longer be committed, once a sequence is used.
func (c *clients) settle(from int, sequence uint64) {
	client := c.list[from]
	var open []*transfer
	for _, t := range client.open {
		if t.sequence > sequence {
			open = append(open, t)
		}
	}
	client.open = open
}
