package node

import (
	"context"
	"testing"

	"github.com/cairnchain/cairn/consensus"
)

func TestSharesAreSeparateAndBounded(t *testing.T) {
	noisy, quiet := consensus.ValidatorID{1}, consensus.ValidatorID{2}
	s := newShares([]consensus.ValidatorID{noisy, quiet})
	ctx := context.Background()
	var last func()
	for i := range inboxShare {
		done, err := s.take(ctx, noisy)
		if err != nil {
			t.Fatalf("place %d of %d: %v", i+1, inboxShare, err)
		}
		last = done
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.take(over, noisy); err == nil {
		t.Fatal("one more than its share was let in")
	}
	if _, err := s.take(ctx, quiet); err != nil {
		t.Fatalf("another peer waits behind a noisy one: %v", err)
	}
	last()
	if _, err := s.take(ctx, noisy); err != nil {
		t.Fatalf("a place that was given back: %v", err)
	}
}
