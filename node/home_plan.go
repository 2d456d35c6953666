package node

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/gateway"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/keys"
)

// What a new network gives its accounts, in base units.
const (
	walletBalance = 1_000_000_000
	faucetBalance = 1_000_000_000_000
	minimumFee    = 1
)

// devnetSubmitRate is what one address may submit per second to a node of a new devnet, and at once: as good as no
// limit. All clients of a devnet share the loopback address, load generators among them.
const devnetSubmitRate = 1_000_000

// DefaultValidators is the size of a network that nobody chose another one for: the least that survives a fault.
const DefaultValidators = 4

// fundedWallets are the wallets of a new network.
var fundedWallets = [...]string{"alice", "bob"}

// NetworkOptions are what a network is made from.
type NetworkOptions struct {
	Kind       NetworkKind
	ChainID    string               // "": the kind with a random end, such as devnet-1f0a3c
	Validators int                  // 0: DefaultValidators
	Listeners  int                  // nodes that follow the validators
	CommitRule consensus.CommitRule // 0: two_chain
	Election   consensus.Election   // 0: reputation
	Host       string               // where the nodes listen; "": 127.0.0.1
	Ports      Ports                // of the settings files; zero: DefaultPorts
	Faucet     bool                 // each node has an account to give from, and the key to it
	Passphrase keys.Passphrase      // under which all keys are encrypted; none: they are plain
	Now        time.Time
}

func (o NetworkOptions) complete() NetworkOptions {
	if o.ChainID == "" {
		var end [3]byte
		_, _ = rand.Read(end[:]) // never fails (crypto/rand)
		o.ChainID = string(o.Kind) + "-" + hex.EncodeToString(end[:])
	}
	if o.Validators == 0 {
		o.Validators = DefaultValidators
	}
	if o.CommitRule == 0 {
		o.CommitRule = consensus.TwoChain
	}
	if o.Election == 0 {
		o.Election = consensus.Reputation
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Ports == (Ports{}) {
		o.Ports = DefaultPorts()
	}
	return o
}

// networkPlan is a network with its keys, before anything is written.
type networkPlan struct {
	opts       NetworkOptions
	validators []keys.Key
	faucets    []keys.Key // none, or one for each validator: they must not share a sequence
	wallets    []keys.Key // of fundedWallets
	genesis    *GenesisDocument
}

func newNetworkPlan(opts NetworkOptions) (*networkPlan, error) {
	p := &networkPlan{opts: opts}
	prefix := ledger.DefaultPrefix
	document := ledger.Document{AddressPrefix: prefix, MinimumFee: minimumFee, Faucet: opts.Faucet}
	fund := func(key keys.Key, balance uint64) {
		document.Accounts = append(document.Accounts, ledger.GenesisAccount{Address: key.Label(), Balance: balance})
	}
	for range fundedWallets {
		key, err := keys.NewWallet(prefix)
		if err != nil {
			return nil, err
		}
		p.wallets = append(p.wallets, key)
		fund(key, walletBalance)
	}
	members := make([]GenesisValidator, opts.Validators)
	for i := range members {
		key, err := keys.NewValidator()
		if err != nil {
			return nil, err
		}
		p.validators = append(p.validators, key)
		members[i] = GenesisValidator{Name: nodeName(i), PublicKey: key.Public().String(), Power: 1}
		if !opts.Faucet {
			continue
		}
		faucet, err := keys.NewWallet(prefix)
		if err != nil {
			return nil, err
		}
		p.faucets = append(p.faucets, faucet)
		fund(faucet, faucetBalance)
	}
	p.genesis = &GenesisDocument{
		ChainID: opts.ChainID, CommitRule: opts.CommitRule.String(), ContiguousRounds: DefaultContiguousRounds(opts.CommitRule),
		Election: opts.Election.String(), Timestamp: opts.Now.UTC().Truncate(time.Millisecond), Validators: members, App: document.Encode(),
	}
	return p, p.genesis.Validate()
}

// write makes the homes and wallets below dir, which it makes.
func (p *networkPlan) write(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for i, key := range p.validators {
		opts := HomeOptions{Genesis: p.genesis, Key: key, Passphrase: p.opts.Passphrase, Settings: p.settings(i)}
		if p.faucets != nil {
			opts.Faucet = &p.faucets[i]
		}
		if _, err := InitHome(filepath.Join(dir, nodeName(i)), opts); err != nil {
			return err
		}
	}
	wallets := Home(dir).WalletsDir()
	if err := os.Mkdir(string(wallets), 0o700); err != nil {
		return err
	}
	for i, name := range fundedWallets {
		path, err := wallets.Path(name)
		if err != nil {
			return err
		}
		if err := createKey(path, p.wallets[i], p.opts.Passphrase); err != nil {
			return err
		}
	}
	return p.writeListeners(dir)
}

// writeListeners makes the homes of the listeners.
func (p *networkPlan) writeListeners(dir string) error {
	for i := range p.opts.Listeners {
		key, err := keys.NewValidator()
		if err != nil {
			return err
		}
		s := p.common(listenerName(i), p.opts.Validators+i)
		for j := range min(p.opts.Validators, follow.MaxUpstreams) {
			s.Upstream.Addresses = append(s.Upstream.Addresses, nthAddress(p.opts.Host, p.opts.Ports.RPC, j))
		}
		opts := HomeOptions{Genesis: p.genesis, Key: key, Passphrase: p.opts.Passphrase, Settings: s, Listener: true}
		if _, err := InitHome(filepath.Join(dir, listenerName(i)), opts); err != nil {
			return err
		}
	}
	return nil
}

// common are the settings that do not depend on what the i-th node of the network is.
func (p *networkPlan) common(name string, i int) Settings {
	s := DefaultSettings()
	s.Node.Name = name
	p.opts.Ports.Apply(&s, p.opts.Host, i)
	if p.opts.Kind == Devnet {
		s.REST.CORSOrigins = gateway.LocalOrigins()
		s.RPC.SubmitRate, s.RPC.SubmitBurst = devnetSubmitRate, devnetSubmitRate
	}
	return s
}

func (p *networkPlan) settings(i int) Settings {
	s := p.common(nodeName(i), i)
	for j, key := range p.validators {
		if j != i {
			s.Peers = append(s.Peers, PeerEntry{
				Name: nodeName(j), PublicKey: key.Public().String(),
				Address: nthAddress(p.opts.Host, p.opts.Ports.Peer, j),
			})
		}
	}
	return s
}
