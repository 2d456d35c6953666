package mempool

import "github.com/cairnchain/cairn/consensus"

// ShareStats is how far sharing with one peer has come.
type ShareStats struct {
	Peer     consensus.ValidatorID
	Behind   int    // ready transactions of our clients that the peer has not acknowledged
	InFlight int    // of those, how many were sent and are not answered
	Resent   uint64 // how many were sent again, since the start
	Up       bool   // a stream to the peer is open
}
