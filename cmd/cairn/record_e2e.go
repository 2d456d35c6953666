//go:build e2e

package main

import (
	"os"

	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/e2e/crash"
	"github.com/cairnchain/cairn/node/e2e/poison"
	"github.com/cairnchain/cairn/node/e2e/record"
)

// observed has the node write down what it receives in the new file that CAIRN_E2E_RECORD names, die where CAIRN_CRASH
// says, and its ledger go wrong as CAIRN_E2E_POISON says, if they do.
func observed(o node.Options) (node.Options, error) {
	if plan := os.Getenv("CAIRN_E2E_POISON"); plan != "" {
		ledger, err := poison.App(plan, o.Home)
		if err != nil {
			return o, err
		}
		o.App = ledger
	}
	if path := os.Getenv("CAIRN_E2E_RECORD"); path != "" {
		recorder, err := record.Create(path)
		if err != nil {
			return o, err
		}
		o.Received = recorder.Received
	}
	if text := os.Getenv("CAIRN_CRASH"); text != "" {
		plan, err := crash.Parse(text)
		if err != nil {
			return o, err
		}
		if o.Devices, err = crash.Devices(plan, o); err != nil {
			return o, err
		}
	}
	return o, nil
}
