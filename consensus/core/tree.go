package core

import (
	"bytes"
	"slices"

	"github.com/cairnchain/cairn/consensus"
)

type nodeState uint8

const (
	inserted  nodeState = iota // waits for its parent's execution
	executing                  // asked for, no answer yet
	executed
	refused // the application calls it invalid
)

// node is a block of the tree. The root may have no block: genesis has none.
type node struct {
	id       consensus.Hash
	block    *consensus.Block
	parent   *node
	children []*node
	state    nodeState
	info     consensus.BlockInfo // when executed
	qc       *consensus.QC       // certifies it, when known
	tc       *consensus.TC       // came with its proposal
	proposed *consensus.Proposal // as its leader signed it; nil when it came by a fetch
	standing standing
}

// tree is the root, the newest committed block, and its uncommitted descendants.
type tree struct {
	root    *node
	nodes   map[consensus.Hash]*node
	byRound map[consensus.Round][]*node
	bytes   int             // of the payloads
	chain   consensus.Round // how many consecutive rounds commit
}

func newTree(root consensus.BlockInfo, s standing, chain consensus.Round) *tree {
	n := &node{id: root.ID, info: root, state: executed, standing: s}
	return &tree{
		root:    n,
		nodes:   map[consensus.Hash]*node{root.ID: n},
		byRound: map[consensus.Round][]*node{},
		chain:   chain,
	}
}

func (t *tree) get(id consensus.Hash) *node { return t.nodes[id] }

// size returns the number of uncommitted blocks.
func (t *tree) size() int { return len(t.nodes) - 1 }

// isCrowded reports whether no more transactions should be proposed, and what is uncertified and old should go.
func (t *tree) isCrowded() bool { return t.size() >= MaxUncommitted || t.bytes >= MaxUncommittedBytes }

// isFull reports whether there is no room for another fetched chunk, unless none of what is there will be committed.
func (t *tree) isFull() bool { return t.size() >= FetchAhead || t.bytes >= FetchAheadBytes }

func (t *tree) insert(b *consensus.Block, parent *node) *node {
	n := &node{id: b.ID(), block: b, parent: parent, standing: parent.standing.child(b.Header, t.chain)}
	parent.children = append(parent.children, n)
	t.nodes[n.id] = n
	t.byRound[b.Round] = append(t.byRound[b.Round], n)
	t.bytes += b.PayloadBytes()
	return n
}

// path returns the nodes from the root's child to n, parents first.
func (t *tree) path(n *node) []*node {
	var up []*node
	for ; n != t.root; n = n.parent {
		up = append(up, n)
	}
	for i, j := 0, len(up)-1; i < j; i, j = i+1, j-1 {
		up[i], up[j] = up[j], up[i]
	}
	return up
}

// reroot makes a child of the root the new root; its siblings and their descendants are pruned, and their ids returned.
func (t *tree) reroot(n *node) (pruned []consensus.Hash) {
	old := t.root
	for _, child := range old.children {
		if child != n {
			pruned = append(pruned, t.prune(child)...)
		}
	}
	delete(t.nodes, old.id)
	t.leave(n)
	n.parent = nil
	t.root = n
	return pruned
}

// lowestLeaf returns the leaf of the lowest round that may go, nil when there is none.
func (t *tree) lowestLeaf(may func(*node) bool) *node {
	var lowest *node
	for _, n := range t.nodes { // the lowest in a total order: the order of the walk does not matter
		if n == t.root || len(n.children) != 0 || !may(n) {
			continue
		}
		if lowest == nil || n.before(lowest) {
			lowest = n
		}
	}
	return lowest
}

func (n *node) before(o *node) bool {
	if n.block.Round != o.block.Round {
		return n.block.Round < o.block.Round
	}
	return bytes.Compare(n.id[:], o.id[:]) < 0
}

// drop removes a leaf and returns its id.
func (t *tree) drop(n *node) []consensus.Hash {
	n.parent.children = slices.DeleteFunc(n.parent.children, func(o *node) bool { return o == n })
	return t.prune(n)
}

// prune removes a node with its descendants and returns their ids.
func (t *tree) prune(n *node) (pruned []consensus.Hash) {
	for _, child := range n.children {
		pruned = append(pruned, t.prune(child)...)
	}
	delete(t.nodes, n.id)
	t.leave(n)
	return append(pruned, n.id)
}

// leave takes a node out of what counts uncommitted blocks.
func (t *tree) leave(n *node) {
	t.bytes -= n.block.PayloadBytes()
	round := n.block.Round
	kept := t.byRound[round][:0]
	for _, o := range t.byRound[round] {
		if o != n {
			kept = append(kept, o)
		}
	}
	if len(kept) == 0 {
		delete(t.byRound, round)
		return
	}
	t.byRound[round] = kept
}
