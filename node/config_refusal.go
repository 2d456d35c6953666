package node

import (
	"errors"
	"syscall"

	"github.com/cairnchain/cairn/consensus/engine"
	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// Refusal is why a node does not start, or ended. The command line gives each its exit code.
type Refusal string

// The refusals.
const (
	NoRefusal         Refusal = "" // the error is of another kind
	RefusedLocked     Refusal = "folder locked"
	RefusedNoSafety   Refusal = "safety record missing"
	RefusedDamaged    Refusal = "safety record damaged"
	RefusedWrongKey   Refusal = "safety record of another key"
	RefusedWrongChain Refusal = "another chain"
	RefusedNewer      Refusal = "written by a newer version"
	RefusedOlder      Refusal = "written by an older version"
	RefusedCorrupt    Refusal = "database corrupt"
	RefusedHome       Refusal = "no such home"
	RefusedSettings   Refusal = "settings"
	RefusedGenesis    Refusal = "genesis"
	RefusedKey        Refusal = "key file"
	RefusedDistrust   Refusal = "the chain cannot be trusted"
	RefusedFolder     Refusal = "folder cannot be used"
	RefusedFiles      Refusal = "too few file descriptors"
	// Of a node that ran:
	StoppedElsewhere Refusal = "this key signs elsewhere"
	StoppedLoop      Refusal = "crash loop"
	StoppedPoison    Refusal = "a block cannot be executed, or the results differ"
	FailedDisk       Refusal = "disk full, read-only or failing" // also of one that does not start
)

// RefusalOf says which refusal an error is. keys.ErrNotFound alone is none: to a client it is an ordinary answer.
func RefusalOf(err error) Refusal {
	for _, known := range []struct {
		err     error
		refusal Refusal
	}{
		{storage.ErrLocked, RefusedLocked},
		{storage.ErrSafetyMissing, RefusedNoSafety},
		{storage.ErrSafetyDamaged, RefusedDamaged},
		{storage.ErrSafetyWrongKey, RefusedWrongKey},
		{ErrForeignKey, RefusedKey},
		{follow.ErrStopped, RefusedDistrust},
		{storage.ErrSafetyWrongChain, RefusedWrongChain},
		{storage.ErrWrongChain, RefusedWrongChain},
		{storage.ErrSafetyNewerSchema, RefusedNewer},
		{storage.ErrNewerSchema, RefusedNewer},
		{storage.ErrOlderSchema, RefusedOlder},
		{storage.ErrCorrupt, RefusedCorrupt},
		{storage.ErrFolder, RefusedFolder},
		{ErrFewFiles, RefusedFiles},
		{storage.ErrFailed, FailedDisk},
		{syscall.ENOSPC, FailedDisk},
		{syscall.EDQUOT, FailedDisk},
		{syscall.EROFS, FailedDisk},
		{syscall.EIO, FailedDisk},
		{ErrNoHome, RefusedHome},
		{ErrOtherNetwork, RefusedHome},
		{ErrGenesis, RefusedGenesis},
		{keys.ErrExposed, RefusedKey},
		{keys.ErrMalformed, RefusedKey},
		{keys.ErrPassphraseNeeded, RefusedKey},
		{keys.ErrPassphraseWrong, RefusedKey},
		{ErrCrashLoop, StoppedLoop},
	} {
		if errors.Is(err, known.err) {
			return known.refusal
		}
	}
	if elsewhere, rival := (*engine.SignedElsewhere)(nil), (*RivalError)(nil); errors.As(err, &elsewhere) || errors.As(err, &rival) {
		return StoppedElsewhere
	}
	if poison := (*PoisonError)(nil); errors.As(err, &poison) {
		return StoppedPoison
	}
	if setting := (*SettingError)(nil); errors.As(err, &setting) {
		return RefusedSettings
	}
	return NoRefusal
}
