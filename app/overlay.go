package app

import (
	"bytes"
	"slices"
)

// Overlay is a State with changes on top: the working state while a block executes. Not safe for concurrent use.
type Overlay struct {
	below   State
	changes map[string][]byte
}

// NewOverlay returns an Overlay without changes.
func NewOverlay(below State) *Overlay {
	return &Overlay{below: below, changes: make(map[string][]byte)}
}

// Get returns the newest value of key, nil when there is none.
func (o *Overlay) Get(key []byte) ([]byte, error) {
	if v, ok := o.changes[string(key)]; ok {
		return v, nil
	}
	return o.below.Get(key)
}

// Set changes key; a nil value deletes it. The overlay keeps value.
func (o *Overlay) Set(key, value []byte) { o.changes[string(key)] = value }

// Changes returns all changes, ordered by key.
func (o *Overlay) Changes() []Change {
	out := make([]Change, 0, len(o.changes))
	for k, v := range o.changes {
		out = append(out, Change{Key: []byte(k), Value: v})
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return out
}
