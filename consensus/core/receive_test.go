package core_test

import (
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// receive decodes and verifies a message as the network of a real node does, and hands it to the core.
func (n *node) receive(m *message) {
	switch {
	case m.kind == "fetch":
		n.serve(m)
		return
	case n.core == nil:
		n.c.lost(m)
		return
	case m.kind == "blocks":
		n.fetched(m)
		return
	}
	ev, err := n.verify(m)
	if err != nil {
		n.c.log.add(n, "rejects %v from %s: %v", m, n.c.nodes[m.from].name, err)
		return
	}
	n.step(ev)
}

func (n *node) verify(m *message) (core.Event, error) {
	v, from := n.c.verifier(), n.c.nodes[m.from].id
	rawSync, err := consensus.DecodeSyncInfo(m.sync)
	if err != nil {
		return nil, err
	}
	sync, err := v.SyncInfo(rawSync)
	if err != nil {
		return nil, err
	}
	switch m.kind {
	case "proposal":
		raw, err := consensus.DecodeProposal(m.body)
		if err != nil {
			return nil, err
		}
		p, err := v.Proposal(raw)
		return core.ProposalReceived{At: n.at(), From: from, Proposal: p, Sync: sync}, err
	case "vote":
		raw, err := consensus.DecodeVote(m.body)
		if err != nil {
			return nil, err
		}
		vote, err := v.Vote(raw)
		return core.VoteReceived{At: n.at(), From: from, Vote: vote, Sync: sync}, err
	case "timeout":
		raw, err := consensus.DecodeTimeout(m.body)
		if err != nil {
			return nil, err
		}
		timeout, err := v.Timeout(raw)
		return core.TimeoutReceived{At: n.at(), From: from, Timeout: timeout, Sync: sync}, err
	}
	return core.SyncInfoReceived{At: n.at(), From: from, Sync: sync}, nil
}

// serve answers a fetch from what is durable.
func (n *node) serve(m *message) {
	answer := &message{from: n.index, to: m.from, kind: "blocks", request: m.request, round: m.round}
	var blocks []*consensus.Block
	switch {
	case n.byzantine && len(n.answers) > 0:
		blocks, n.answers = n.answers[0], n.answers[1:]
	case n.byzantine || n.core == nil:
		n.c.nodes[m.from].fetchFailed(m, "unreachable")
		return
	default:
		blocks = n.disk.chainTo(m.request)
	}
	if len(blocks) == 0 {
		n.c.nodes[m.from].fetchFailed(m, "not found")
		return
	}
	if len(blocks) > n.c.chunk {
		answer.proof = blocks[n.c.chunk].QC.Encode()
		blocks = blocks[:n.c.chunk]
	} else if qc := n.c.oracle.qcs[blocks[len(blocks)-1].ID()]; n.byzantine && qc != nil {
		answer.proof = qc.Encode()
	}
	for _, b := range blocks {
		answer.chunk = append(answer.chunk, b.Encode())
	}
	n.c.post(answer)
}

// fetched verifies the answer to a fetch.
func (n *node) fetched(m *message) {
	chunk := &consensus.Chunk{}
	var err error
	for _, raw := range m.chunk {
		b, decodeErr := consensus.DecodeBlock(raw)
		if decodeErr != nil {
			err = decodeErr
			break
		}
		chunk.Blocks = append(chunk.Blocks, b)
	}
	if m.proof != nil && err == nil {
		chunk.Certificate, err = consensus.DecodeQC(m.proof)
	}
	if err == nil {
		verified, verifyErr := n.c.verifier().Chunk(m.request, chunk)
		if verifyErr == nil {
			n.asked--
			n.step(core.BlocksFetched{At: n.at(), Peer: n.c.nodes[m.from].id, Target: m.request.Target.ID, Chunk: verified})
			return
		}
		err = verifyErr
	}
	n.fetchFailed(m, err.Error())
}

// fetchFailed tells the requester. M is the request or its answer.
func (n *node) fetchFailed(m *message, reason string) {
	peer := n.c.nodes[m.to+m.from-n.index].id
	n.push("fetch", func() core.Event {
		n.asked--
		return core.FetchFailed{At: n.at(), Peer: peer, Target: m.request.Target.ID, Reason: reason}
	})
}
