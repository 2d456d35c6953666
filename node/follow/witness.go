package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/storage"
)

// Status is where a Follower stands.
type Status struct {
	Upstream string           // whom it follows: its stream has begun; empty: nobody at present
	Since    time.Time        // when that stream began; zero: nobody is followed
	Target   consensus.Height // the highest height that a verified certificate commits
	HighQC   *consensus.QC    // the newest verified certificate; nil: none since the start
	// Unchecked is the height of the trusted checkpoint while that is not part of the committed chain yet; else 0.
	Unchecked consensus.Height
}

// IsBehind reports whether a node with this committed height has to catch up.
func (s Status) IsBehind(height consensus.Height) bool { return s.Target > height+nearBehind }

// Status returns where the Follower stands.
func (f *Follower) Status() Status {
	height := f.cfg.Store.Tip().Height
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Target: max(f.target, height), HighQC: f.highQC}
	if f.following >= 0 {
		s.Upstream, s.Since = f.upstreams[f.following].address, f.since
	}
	if c := f.cfg.Checkpoint; c.Height > height {
		s.Unchecked = c.Height
	}
	return s
}

// probe asks one upstream after the other for its newest certificate: for the target, and because two chains can only be
// seen by whoever looks at more than one.
func (f *Follower) probe(ctx context.Context) error {
	ticker := time.NewTicker(f.cfg.Timing.Probe)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		u := f.upstreams[i%len(f.upstreams)]
		if !f.mayAsk(u) {
			continue
		}
		err := f.ask(ctx, u)
		switch {
		case errors.Is(err, ErrStopped), isOurs(err):
			return err
		case faultOf(err) == Lie && ctx.Err() == nil:
			f.leave(u, err)
		}
	}
}

func (f *Follower) mayAsk(u *upstream) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan.usable(u.index, time.Now())
}

// ask takes the newest certificate of an upstream in. Errors: ErrStopped, a lie, a failure of our store (isOurs), or that
// of the call.
func (f *Follower) ask(ctx context.Context, u *upstream) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timing.Call)
	defer cancel()
	qc, err := u.highQC(ctx)
	if err != nil {
		return err
	}
	if _, err := f.cfg.Verifier.QC(qc); err != nil {
		return fmt.Errorf("its newest certificate: %w: %w", ErrBadCertificate, err)
	}
	return f.witness(u, qc)
}

// witness compares what a verified certificate commits with our chain: now, or when we get there.
func (f *Follower) witness(u *upstream, qc *consensus.QC) error {
	commit := qc.Commit()
	f.mu.Lock()
	if f.highQC == nil || qc.Round() > f.highQC.Round() {
		f.highQC = qc
	}
	if !commit.IsNone() {
		f.witnesses[u.index] = qc
		f.target = max(f.target, commit.Height)
	}
	f.mu.Unlock()
	if commit.IsNone() {
		return nil
	}
	if err := f.cfg.Checkpoint.check(commit.Height, commit.ID); err != nil {
		return err
	}
	// After the witness is kept: a commit that comes meanwhile looks at it.
	tip := f.cfg.Store.Tip()
	if commit.Height > tip.Height {
		return nil
	}
	if commit.Height < tip.Height {
		var err error
		if tip, err = f.stored(commit.Height); err != nil {
			return &storeError{err}
		}
	}
	return conflict(tip, qc)
}

// matches compares a block with all witnesses.
func (f *Follower) matches(ours storage.Commit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, qc := range f.witnesses {
		if qc == nil {
			continue
		}
		if err := conflict(ours.Info, qc); err != nil {
			if both := (*ConflictError)(nil); errors.As(err, &both) {
				both.OurProof = ours.Proof
			}
			return err
		}
	}
	return nil
}

// conflict is an error when a verified certificate commits another block than ours at its height.
func conflict(ours consensus.BlockInfo, qc *consensus.QC) error {
	theirs := qc.Commit()
	if theirs.IsNone() || theirs.Height != ours.Height || theirs.ID == ours.ID {
		return nil
	}
	return &ConflictError{Height: ours.Height, Ours: ours.ID, Theirs: theirs.ID, TheirProof: qc}
}

// storeError is a failure of our own storage.
type storeError struct{ err error }

// Error is that of the cause.
func (e *storeError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *storeError) Unwrap() error { return e.err }

func isOurs(err error) bool {
	var own *storeError
	return errors.As(err, &own)
}
