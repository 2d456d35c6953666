//go:build e2e

// Package poison has the ledger of a node go wrong from a height on, in builds for end-to-end tests.
package poison

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/signature"
	"github.com/cairnchain/cairn/node"
)

// poisoned is a ledger that goes wrong on every block from a height on.
type poisoned struct {
	app.App
	height consensus.Height
	way    string // "error" or "diverge"
}

// App returns the ledger of a node that goes wrong as a plan says: way:height, where the way is error or diverge. The node's
// API then serves no accounts, as of any other application. Errors: of a plan that cannot be read, and those of reading the
// home's genesis.
func App(plan string, home node.Home) (app.App, error) {
	way, at, _ := strings.Cut(plan, ":")
	p := poisoned{way: way}
	if _, err := fmt.Sscan(at, &p.height); err != nil {
		return nil, fmt.Errorf("%q is not way:height: %w", plan, err)
	}
	document, err := home.Genesis()
	if err != nil {
		return nil, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return nil, err
	}
	p.App, err = ledger.New(genesis.ChainID, genesis.AppDocument, signature.NewEd25519())
	return p, err
}

// Execute is part of app.App.
func (p poisoned) Execute(s app.State, b app.Block) (app.Result, error) {
	result, err := p.App.Execute(s, b)
	if err != nil || b.Height < p.height {
		return result, err
	}
	if p.way == "error" {
		return app.Result{}, errors.New("poisoned by the test")
	}
	for i := range result.Receipts {
		result.Receipts[i].Message += "?"
	}
	result.Changes = append(result.Changes, app.Change{Key: []byte{0xff, 0xff}, Value: []byte{1}})
	return result, nil
}
