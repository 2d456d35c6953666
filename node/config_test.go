package node

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cairnchain/cairn/node/keys"
	"github.com/cairnchain/cairn/storage"
)

func TestRefusals(t *testing.T) {
	seen := map[Refusal]bool{}
	for err, want := range map[error]Refusal{
		storage.ErrLocked: RefusedLocked, storage.ErrSafetyMissing: RefusedNoSafety, storage.ErrSafetyDamaged: RefusedDamaged,
		storage.ErrSafetyWrongKey: RefusedWrongKey, storage.ErrSafetyWrongChain: RefusedWrongChain,
		storage.ErrWrongChain: RefusedWrongChain, storage.ErrSafetyNewerSchema: RefusedNewer,
		storage.ErrNewerSchema: RefusedNewer, storage.ErrOlderSchema: RefusedOlder, &storage.CorruptError{Key: "k", Err: errors.New("x")}: RefusedCorrupt,
		ErrNoHome: RefusedHome, ErrOtherNetwork: RefusedHome, &SettingError{"k", "m"}: RefusedSettings, ErrGenesis: RefusedGenesis,
		keys.ErrExposed: RefusedKey, keys.ErrMalformed: RefusedKey, keys.ErrPassphraseNeeded: RefusedKey,
		keys.ErrPassphraseWrong: RefusedKey, errors.New("any other"): NoRefusal, keys.ErrNotFound: NoRefusal,
	} {
		wrapped := errors.Join(fmt.Errorf("opening: %w", err), errors.New("and closing"))
		if got := RefusalOf(wrapped); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
		seen[want] = true
	}
	if RefusalOf(nil) != NoRefusal || len(seen) != 13 {
		t.Errorf("%d refusals", len(seen))
	}
}

func TestThisBuildNamesTheToolchain(t *testing.T) {
	if b := ThisBuild(); b.Version == "" || b.Go == "" {
		t.Errorf("%+v", b)
	}
}
