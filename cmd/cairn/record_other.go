//go:build !e2e

package main

import "github.com/cairnchain/cairn/node"

// observed is where a build for end-to-end tests adds what it observes of a node; here nothing.
func observed(o node.Options) (node.Options, error) { return o, nil }
