package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/safety"
)

// The two copies of a safety record, in the order in which they are written.
const (
	SafetyFileA = "safety.a"
	SafetyFileB = "safety.b"
)

var safetyFiles = [2]string{SafetyFileA, SafetyFileB}

// SafetyRecord is the durable safety.State of one validator: what it must remember never to sign twice. It has two
// copies, each complete, in files of their own, for a database may come back with an older value and not say
// so. Not safe for concurrent use: the one who signs has it.
//
// A save overwrites a in place, syncs it, and only then does the same with b. So at any instant at most one copy is
// torn, and the other is whole: while a is being written b holds the state before, whose successor nobody has signed
// for yet; while b is being written a holds the state after, durably. In place and not by rename: that is one sync for
// each copy instead of two, and needs no new space on a disk that is full.
type SafetyRecord struct {
	files      Files
	identity   RecordIdentity
	generation uint64
	state      safety.State
	encoded    []byte // of state
	repaired   error
	failed     error
}

// CreateSafetyRecord makes the record of a new key in dir, which must exist. It is for the command that makes the key,
// never for one that starts a node. ErrSafetyExists: there is one, or what a creation that was cut short left; remove
// that only if the key has never signed.
func CreateSafetyRecord(dir string, id RecordIdentity, initial safety.State) error {
	files, err := OpenFolder(dir)
	if err != nil {
		return fmt.Errorf("safety record: %w", err)
	}
	return closeAfter(files, CreateSafetyRecordIn(files, id, initial))
}

// CreateSafetyRecordIn is CreateSafetyRecord in files, which stay open.
func CreateSafetyRecordIn(files Files, id RecordIdentity, initial safety.State) error {
	for _, name := range safetyFiles {
		if _, err := files.Read(name); err == nil {
			return fmt.Errorf("%w: %s", ErrSafetyExists, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("safety record: %w", err)
		}
	}
	content := encodeSafetyRecord(id, 1, initial)
	for _, name := range safetyFiles {
		if err := replace(files, name, content); err != nil {
			return fmt.Errorf("safety record: creating %s: %w", name, err)
		}
	}
	return nil
}

// OpenSafetyRecord reads the record of this identity in dir. Before it returns, both copies are equal and durable; when
// one had to be repaired, Repaired says so. Errors, each with what to do about it: ErrSafetyMissing, ErrSafetyDamaged,
// ErrSafetyWrongKey, ErrSafetyWrongChain, ErrSafetyNewerSchema, ErrFolder. Any other is the device's. After any error
// nothing may be signed.
func OpenSafetyRecord(dir string, id RecordIdentity) (*SafetyRecord, error) {
	return OpenSafetyRecordBy(dir, id, func(files Files) Files { return files })
}

// OpenSafetyRecordBy is OpenSafetyRecord through other Files, which it makes from those of dir and closes in their place:
// for test beds whose devices fail.
func OpenSafetyRecordBy(dir string, id RecordIdentity, device func(Files) Files) (*SafetyRecord, error) {
	folder, err := OpenFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no folder %s; %s", ErrSafetyMissing, dir, howToResign)
	}
	if err != nil {
		return nil, fmt.Errorf("safety record: %w", unusable(dir, err))
	}
	files := device(folder)
	record, err := OpenSafetyRecordIn(files, id)
	if err != nil {
		return nil, closeAfter(files, unusable(dir, err))
	}
	return record, nil
}

// OpenSafetyRecordIn is OpenSafetyRecord in files, which Close of the record closes; after an error they stay open.
func OpenSafetyRecordIn(files Files, id RecordIdentity) (*SafetyRecord, error) {
	var copies [2]safetyCopy
	for i, name := range safetyFiles {
		content, err := files.Read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			copies[i].err = ErrSafetyMissing
		case err != nil:
			return nil, fmt.Errorf("safety record: %w", err)
		default:
			copies[i].content = content
			copies[i].generation, copies[i].state, copies[i].err = decodeSafetyRecord(content, id)
		}
	}
	good, err := chooseCopy(copies)
	if err != nil {
		return nil, err
	}
	s := &SafetyRecord{
		files: files, identity: id, generation: copies[good].generation,
		state: copies[good].state, encoded: copies[good].state.Encode(),
	}
	// The good copy first: it may have been read from memory that no sync has reached yet.
	if err := files.Sync(safetyFiles[good]); err != nil {
		return nil, fmt.Errorf("safety record: %w", err)
	}
	bad := 1 - good
	if bytes.Equal(copies[bad].content, copies[good].content) {
		err = files.Sync(safetyFiles[bad])
	} else {
		s.repaired = copies[bad].reason(safetyFiles[bad], copies[good].generation)
		err = replace(files, safetyFiles[bad], copies[good].content)
	}
	if err != nil {
		return nil, fmt.Errorf("safety record: repairing %s: %w", safetyFiles[bad], err)
	}
	return s, nil
}

// safetyCopy is one copy as it was found; err says why it is of no use.
type safetyCopy struct {
	content    []byte
	generation uint64
	state      safety.State
	err        error
}

func (c safetyCopy) reason(name string, generation uint64) error {
	if c.err != nil {
		return fmt.Errorf("%s: %w", name, c.err)
	}
	return fmt.Errorf("%s: it was of generation %d, the other copy is of %d", name, c.generation, generation)
}

// chooseCopy returns the copy that counts: the highest intact generation. A copy that is intact but not ours, or newer
// than we understand, refuses both: somebody mixed folders, and which of them signed last is unknown.
func chooseCopy(copies [2]safetyCopy) (int, error) {
	for _, foreign := range []struct {
		err    error
		advice string
	}{
		{ErrSafetyNewerSchema, "start the version that wrote it"},
		{ErrSafetyWrongChain, "start with the home folder of the chain that the record is of"},
		{ErrSafetyWrongKey, "put the key and the record that belong together in one folder"},
	} {
		for i, c := range copies {
			if errors.Is(c.err, foreign.err) {
				return 0, fmt.Errorf("%s: %w; %s", safetyFiles[i], c.err, foreign.advice)
			}
		}
	}
	a, b := copies[0], copies[1]
	switch {
	case a.err == nil && b.err == nil && a.generation == b.generation && !bytes.Equal(a.content, b.content):
		return 0, fmt.Errorf("%w: %s and %s differ in the same generation %d; %s",
			ErrSafetyDamaged, SafetyFileA, SafetyFileB, a.generation, howToResign)
	case a.err == nil && (b.err != nil || a.generation >= b.generation):
		return 0, nil
	case b.err == nil:
		return 1, nil
	case errors.Is(a.err, ErrSafetyMissing) && errors.Is(b.err, ErrSafetyMissing):
		return 0, fmt.Errorf("%w: neither %s nor %s; %s", ErrSafetyMissing, SafetyFileA, SafetyFileB, howToResign)
	}
	return 0, fmt.Errorf("%w; %s; %s; %s", ErrSafetyDamaged, // alone: a missing copy beside a bad one is damage
		a.reason(SafetyFileA, 0).Error(), b.reason(SafetyFileB, 0).Error(), howToResign)
}

const howToResign = "nothing was changed and nothing will be signed. Stop using this key unless the two files themselves " +
	"can be had back as they were last; a backup of an earlier time is not enough, for with it this validator can sign " +
	"twice. To validate again, join with a new key"

// State returns what is durable.
func (s *SafetyRecord) State() safety.State { return s.state }

// Generation returns how many states were saved, the initial one included.
func (s *SafetyRecord) Generation() uint64 { return s.generation }

// Repaired returns what was wrong with one copy when the record was opened, nil when nothing was. It deserves an alarm,
// but a crash in the middle of a save leaves the same traces.
func (s *SafetyRecord) Repaired() error { return s.repaired }

// Save makes the next state durable in both copies; only when it has returned nil may what the state allows be signed.
// A state equal to the last one is not written again. The error is ErrFailed and final: the process must end.
//
// It panics when the next state forgets something: an earlier epoch, or in the same epoch a lower last voted, last
// proposed or locked round, or another vote, timeout or proposal for the round of the last.
func (s *SafetyRecord) Save(next safety.State) error {
	if s.failed != nil {
		return s.failed
	}
	if what := forgets(s.state, next); what != "" {
		panic(fmt.Sprintf("storage: safety state would forget its %s: %+v after %+v", what, next, s.state))
	}
	encoded := next.Encode()
	if bytes.Equal(encoded, s.encoded) {
		return nil
	}
	content := encodeSafetyRecord(s.identity, s.generation+1, next)
	for _, name := range safetyFiles {
		if err := replace(s.files, name, content); err != nil {
			s.failed = fmt.Errorf("%w: %s: %w", ErrFailed, name, err)
			return s.failed
		}
	}
	s.state, s.encoded = next, encoded
	s.generation++
	return nil
}

// Close closes the files. A Save that follows is ErrFailed.
func (s *SafetyRecord) Close() error {
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", ErrFailed, ErrClosed)
	}
	return s.files.Close()
}

func replace(files Files, name string, content []byte) error {
	if err := files.Write(name, content); err != nil {
		return err
	}
	return files.Sync(name)
}

// forgets says what of the old state the next one goes back on; "" when nothing.
func forgets(old, next safety.State) string {
	switch {
	case next.Epoch > old.Epoch:
		return ""
	case next.Epoch < old.Epoch:
		return "epoch"
	case next.LastVoted < old.LastVoted:
		return "last voted round"
	case next.LastProposed < old.LastProposed:
		return "last proposed round"
	case next.Locked < old.Locked:
		return "locked round"
	case next.LastProposed == old.LastProposed && next.LastProposal != old.LastProposal:
		return "last proposal"
	case old.LastVote != nil && !succeedsVote(old.LastVote, next.LastVote):
		return "last vote"
	case old.LastTimeout != nil && !succeedsTimeout(old.LastTimeout, next.LastTimeout):
		return "last timeout"
	}
	return ""
}

// succeedsVote: the same vote, or one of a later round.
func succeedsVote(old, next *consensus.Vote) bool {
	return next != nil && (next.Round() > old.Round() || next.Data == old.Data)
}

// succeedsTimeout: a timeout over the same rounds, or one of a later round.
func succeedsTimeout(old, next *consensus.Timeout) bool {
	return next != nil && (next.Round > old.Round || next.Round == old.Round && next.QC.Same(old.QC))
}
