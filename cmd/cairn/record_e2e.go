//go:build e2e

package main

import (
	"os"

	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/e2e/record"
)

// observed has the node write down what it receives in the new file that CAIRN_E2E_RECORD names, if it does.
func observed(o node.Options) (node.Options, error) {
	o, err := poison(o)
	if err != nil {
		return o, err
	}
	path := os.Getenv("CAIRN_E2E_RECORD")
	if path == "" {
		return o, nil
	}
	recorder, err := record.Create(path)
	if err != nil {
		return o, err
	}
	o.Received = recorder.Received
	return o, nil
}
