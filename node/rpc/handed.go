package rpc

import (
	"context"
	"math"
	"slices"

	"google.golang.org/grpc/metadata"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
)

// handedOnBy is the metadata that names the listeners which have handed a call on, the first one first, by their ids.
// It proves nothing: whoever forges it has their own call refused.
const handedOnBy = "cairn-handed-on-by"

// maxHandedOn is how often a call is handed on at most, from listener to listener to the node that answers it. A listener
// that it would reach with more refuses it as NODE_UNREACHABLE, and whoever handed it on tries another upstream.
const maxHandedOn = 4

// maxHandedOnTries is at how many upstreams a listener tries a call that another one has handed to it. Without a bound
// listeners that all follow one another, and no validator that answers, would try every way through them.
const maxHandedOnTries = 2

// handOn is the context in which a call is handed on: it names this listener after those before. It may be tried at so many
// upstreams. The error is a refusal: the call has been here, or at too many: listeners follow one another, and this way
// leads to no validator.
func (s *Server) handOn(ctx context.Context) (on context.Context, tries int, err error) {
	incoming, _ := metadata.FromIncomingContext(ctx)
	before, self := incoming.Get(handedOnBy), s.cfg.Self.String()
	if slices.Contains(before, self) {
		return nil, 0, fail(cairnv1.ErrorReason_NODE_UNREACHABLE,
			"the call came back to this listener: its upstreams follow it; it needs one that leads to a validator")
	}
	if len(before) >= maxHandedOn {
		return nil, 0, fail(cairnv1.ErrorReason_NODE_UNREACHABLE,
			"the call was handed on by %d listeners, as many as may; post it nearer to a validator", maxHandedOn)
	}
	for _, id := range append(slices.Clone(before), self) {
		ctx = metadata.AppendToOutgoingContext(ctx, handedOnBy, id)
	}
	if tries = math.MaxInt; len(before) > 0 {
		tries = maxHandedOnTries
	}
	return ctx, tries, nil
}
