//go:build e2e

package main

import (
	"os"

	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/e2e/crash"
	"github.com/cairnchain/cairn/node/e2e/record"
	"github.com/cairnchain/cairn/storage"
)

// observed has the node write down what it receives in the new file that CAIRN_E2E_RECORD names, and die where
// CAIRN_CRASH says, if they do.
func observed(o node.Options) (node.Options, error) {
	o, err := poison(o)
	if err != nil {
		return o, err
	}
	if path := os.Getenv("CAIRN_E2E_RECORD"); path != "" {
		recorder, err := record.Create(path)
		if err != nil {
			return o, err
		}
		o.Received = recorder.Received
	}
	if text := os.Getenv("CAIRN_CRASH"); text != "" {
		device, err := crashing(o, text)
		if err != nil {
			return o, err
		}
		o.Devices = node.Devices{Database: device.Database, Safety: device.Safety}
	}
	return o, nil
}

func crashing(o node.Options, text string) (*crash.Device, error) {
	plan, err := crash.Parse(text)
	if err != nil {
		return nil, err
	}
	document, err := o.Home.Genesis()
	if err != nil {
		return nil, err
	}
	genesis, err := document.Genesis()
	if err != nil {
		return nil, err
	}
	passphrase, err := o.Settings.Passphrase()
	if err != nil {
		return nil, err
	}
	key, err := o.Home.ValidatorKey(passphrase)
	if err != nil {
		return nil, err
	}
	identity := storage.RecordIdentity{ChainID: genesis.ChainID, Genesis: genesis.Hash(), Key: key.Public()}
	return crash.New(plan, identity, o.Home.DataDir()), nil
}
