package sim

import "github.com/cairnchain/cairn/consensus"

// rawMessage is a message as it travels: nobody shares memory with anybody.
type rawMessage struct {
	kind       string
	sync, body []byte
}

const compactProposal = "compact proposal"

func encode(m *consensus.Message) *rawMessage {
	raw := &rawMessage{kind: m.Kind(), sync: m.Sync.Encode()}
	switch {
	case m.Compact != nil:
		raw.kind, raw.body = compactProposal, m.Compact.Encode()
	case m.Proposal != nil:
		raw.body = m.Proposal.Encode()
	case m.Vote != nil:
		raw.body = m.Vote.Encode()
	case m.Timeout != nil:
		raw.body = m.Timeout.Encode()
	}
	return raw
}

func (r *rawMessage) decode() (*consensus.Message, error) {
	m := &consensus.Message{}
	var err error
	if m.Sync, err = consensus.DecodeSyncInfo(r.sync); err != nil {
		return nil, err
	}
	switch r.kind {
	case "proposal":
		m.Proposal, err = consensus.DecodeProposal(r.body)
	case compactProposal:
		m.Compact, err = consensus.DecodeCompactProposal(r.body)
	case "vote":
		m.Vote, err = consensus.DecodeVote(r.body)
	case "timeout":
		m.Timeout, err = consensus.DecodeTimeout(r.body)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// recode sends a chunk through its encoding.
func recode(c *consensus.Chunk) (*consensus.Chunk, error) {
	out := &consensus.Chunk{Blocks: make([]*consensus.Block, len(c.Blocks))}
	for i, b := range c.Blocks {
		var err error
		if out.Blocks[i], err = consensus.DecodeBlock(b.Encode()); err != nil {
			return nil, err
		}
	}
	if c.Certificate == nil {
		return out, nil
	}
	var err error
	out.Certificate, err = consensus.DecodeQC(c.Certificate.Encode())
	return out, err
}
