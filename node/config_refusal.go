package node

import (
	"errors"

	"github.com/cairnchain/cairn/node/follow"
	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

// Refusal is why a node does not start. The command line gives each its exit code.
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
		{ErrNoHome, RefusedHome},
		{ErrOtherNetwork, RefusedHome},
		{ErrGenesis, RefusedGenesis},
		{keys.ErrExposed, RefusedKey},
		{keys.ErrMalformed, RefusedKey},
		{keys.ErrPassphraseNeeded, RefusedKey},
		{keys.ErrPassphraseWrong, RefusedKey},
	} {
		if errors.Is(err, known.err) {
			return known.refusal
		}
	}
	if setting := (*SettingError)(nil); errors.As(err, &setting) {
		return RefusedSettings
	}
	return NoRefusal
}
