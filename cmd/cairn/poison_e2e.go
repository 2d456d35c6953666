//go:build e2e

package main

import (
	"errors"
	"fmt"
	"os"
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

// poison has the node's ledger go wrong as CAIRN_E2E_POISON says, way:height, if it does. The node's API then serves no
// accounts, as of any other application.
func poison(o node.Options) (node.Options, error) {
	way, at, ok := strings.Cut(os.Getenv("CAIRN_E2E_POISON"), ":")
	if !ok {
		return o, nil
	}
	p := poisoned{way: way}
	if _, err := fmt.Sscan(at, &p.height); err != nil {
		return o, err
	}
	document, err := o.Home.Genesis()
	if err != nil {
		return o, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return o, err
	}
	p.App, err = ledger.New(genesis.ChainID, genesis.AppDocument, signature.NewEd25519())
	o.App = p
	return o, err
}

// Execute is part of app.App.
func (p poisoned) Execute(s app.State, b app.Block) (app.Result, error) {
	result, err := p.App.Execute(s, b)
	if err != nil || b.Header.Height < p.height {
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
