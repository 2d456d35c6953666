package keys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age/armor"

	"github.com/cairnchain/cairn/consensus/signature"
)

func testKey(kind Kind, fill byte) Key {
	var seed [signature.SeedSize]byte
	for i := range seed {
		seed[i] = fill
	}
	k := Key{kind: kind, private: signature.NewPrivateKey(seed)}
	if kind == Wallet {
		k.prefix = "cairn"
	}
	return k
}

func TestFilesAreReadBack(t *testing.T) {
	for _, kind := range []Kind{Wallet, Validator} {
		key, dir := testKey(kind, 7), t.TempDir()
		plain, sealed := filepath.Join(dir, "plain.json"), filepath.Join(dir, "sealed.json")
		if err := CreatePlain(plain, key); err != nil {
			t.Fatal(err)
		}
		if err := CreateEncrypted(sealed, key, WeakPassphrase("open sesame")); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{plain, sealed} {
			info, err := os.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
			}
			file, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if file.Kind != kind || file.Label != key.Label() || file.PublicKey != key.Public() || file.Plain != (path == plain) {
				t.Errorf("%+v", file)
			}
			got, err := file.Unlock(WeakPassphrase("open sesame"))
			if err != nil || got.Private().Seed() != key.Private().Seed() || got.Kind() != kind || got.Label() != key.Label() {
				t.Errorf("%s: %v, %v", path, got, err)
			}
		}
		file, _ := Read(sealed)
		if _, err := file.Unlock(Passphrase{}); !errors.Is(err, ErrPassphraseNeeded) {
			t.Error(err)
		}
		if _, err := file.Unlock(WeakPassphrase("open sesam")); !errors.Is(err, ErrPassphraseWrong) {
			t.Error(err)
		}
		raw, _ := os.ReadFile(plain)
		if !strings.Contains(string(raw), `"plain": "for devnets only"`) {
			t.Errorf("it does not say that it is plain: %s", raw)
		}
		entries, _ := os.ReadDir(dir)
		if len(entries) != 2 {
			t.Errorf("left behind: %v", entries)
		}
	}
}

func TestGuessingIsDear(t *testing.T) {
	sealed, err := encrypt(testKey(Wallet, 1).Private().Seed(), NewPassphrase("pass"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(armor.NewReader(strings.NewReader(sealed)))
	if err != nil || !regexp.MustCompile(`\n-> scrypt \S+ 18\n`).Match(raw) {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.json")
	if err := CreatePlain(path, testKey(Wallet, 1)); err != nil {
		t.Fatal(err)
	}
	if err := CreatePlain(path, testKey(Wallet, 2)); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := CreateEncrypted(path, testKey(Wallet, 2), WeakPassphrase("x")); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	file, err := Read(path)
	if err != nil || file.PublicKey != testKey(Wallet, 1).Public() {
		t.Errorf("%v, %v", file, err)
	}
}

// Of all modes only those are taken that give nothing to group and others.
func TestModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.json")
	if err := CreatePlain(path, testKey(Wallet, 1)); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for mode := fs.FileMode(0); mode <= 0o777; mode++ {
		if mode&0o400 == 0 {
			continue // the owner cannot read it: what happens depends on who runs the test
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if open := mode&0o077 != 0; errors.Is(err, ErrExposed) != open || (err != nil) != open {
			t.Fatalf("mode %04o: %v", mode, err)
		} else if open {
			refused++
			if !strings.Contains(err.Error(), fmt.Sprintf("%04o", mode)) || !strings.Contains(err.Error(), "chmod 600") {
				t.Fatalf("mode %04o: %v", mode, err)
			}
			if _, err := ReadPassphrase(path); !errors.Is(err, ErrExposed) {
				t.Fatalf("passphrase of mode %04o: %v", mode, err)
			}
		}
	}
	if refused != 252 {
		t.Errorf("%d modes refused", refused)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.json")
	if err := CreatePlain(good, testKey(Wallet, 1)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(link); !errors.Is(err, ErrExposed) {
		t.Error(err)
	}
	if _, err := Read(filepath.Join(dir, "none.json")); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := Read(dir); err == nil {
		t.Error("a folder was read")
	}
	raw, _ := os.ReadFile(good)
	var fields map[string]string
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	other := testKey(Wallet, 2)
	for name, change := range map[string]func(map[string]string){
		"type":             func(m map[string]string) { m["type"] = "house" },
		"validator":        func(m map[string]string) { m["type"] = "validator" },
		"other address":    func(m map[string]string) { m["address"] = other.Label() },
		"no address":       func(m map[string]string) { m["address"] = "" },
		"other key":        func(m map[string]string) { m["publicKey"] = other.Public().String() },
		"short key":        func(m map[string]string) { m["publicKey"] = m["publicKey"][2:] },
		"no secret":        func(m map[string]string) { delete(m, "secret") },
		"both":             func(m map[string]string) { m["encrypted"] = "x" },
		"not said plain":   func(m map[string]string) { delete(m, "plain") },
		"unknown field":    func(m map[string]string) { m["more"] = "x" },
		"id beside":        func(m map[string]string) { m["id"] = "x" },
		"secret of other":  func(m map[string]string) { s := other.private.Seed(); m["secret"] = hex.EncodeToString(s[:]) },
		"secret too short": func(m map[string]string) { m["secret"] = m["secret"][2:] },
		"secret too long":  func(m map[string]string) { m["secret"] += "00" },
		"secret not hex":   func(m map[string]string) { m["secret"] = strings.Repeat("zz", 32) },
	} {
		m := map[string]string{}
		for k, v := range fields {
			m[k] = v
		}
		change(m)
		changed, _ := json.Marshal(m)
		path := filepath.Join(dir, "changed.json")
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := Read(path)
		if err == nil {
			_, err = file.Unlock(Passphrase{})
		}
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(bytes.TrimSpace(raw)) {
		path := filepath.Join(dir, "cut.json")
		if err := os.WriteFile(path, raw[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestDamagedEncryption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.json")
	if err := CreateEncrypted(path, testKey(Validator, 3), WeakPassphrase("pass")); err != nil {
		t.Fatal(err)
	}
	file, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := file.content.Encrypted
	for i := 0; i < len(sealed); i += 3 {
		file.content.Encrypted = sealed[:i] + string(sealed[i]^1) + sealed[i+1:]
		if key, err := file.Unlock(WeakPassphrase("pass")); err == nil && key.Private().Seed() != testKey(Validator, 3).Private().Seed() {
			t.Fatalf("byte %d: another key came out", i)
		}
		file.content.Encrypted = sealed[:i]
		if _, err := file.Unlock(WeakPassphrase("pass")); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrPassphraseWrong) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// No verb, encoder or error shows a secret.
func TestSecretsStayInside(t *testing.T) {
	key := testKey(Wallet, 0xAB)
	seed := key.Private().Seed()
	shown := []string{key.String(), fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s %q %x %d", key, key, key, key, key, key, key),
		fmt.Sprintf("%v %+v", &key, struct{ K Key }{key})}
	text, _ := json.Marshal(struct{ K Key }{key})
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "in", struct{ K Key }{key})
	shown = append(shown, string(text), log.String())
	for i, s := range shown {
		if !strings.Contains(s, key.Label()) {
			t.Errorf("%d does not name the key: %s", i, s)
		}
		for _, secret := range []string{hex.EncodeToString(seed[:8]), strings.ToUpper(hex.EncodeToString(seed[:8])),
			"171 171 171", "q6urq6ur"} {
			if strings.Contains(s, secret) {
				t.Errorf("%d shows the secret: %s", i, s)
			}
		}
	}
}

func TestPassphrases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pass")
	for content, want := range map[string]string{
		"open": "open", "open\n": "open", "open\r\nmore\n": "open", " o p \n": " o p ", "": "", "\nopen": "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadPassphrase(path)
		if got.text != want || got.IsZero() != (want == "") || strings.Contains(fmt.Sprintf("%v %+v %#v %s", got, got, got, got), "open") || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
}

func TestFolder(t *testing.T) {
	folder := Folder(t.TempDir())
	for name, ok := range map[string]bool{
		"alice": true, "a": true, "node-0_x": true, strings.Repeat("a", 32): true, strings.Repeat("a", 33): false, "": false,
		"../alice": false, "Alice": false, "-a": false, "a.json": false, "a/b": false, "ä": false,
	} {
		path, err := folder.Path(name)
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if !ok {
			continue
		}
		if err := CreatePlain(path, testKey(Wallet, byte(len(name)))); err != nil {
			t.Fatal(err)
		}
		if file, err := folder.Read(name); err != nil || file.Path != path {
			t.Errorf("%q: %v", name, err)
		}
	}
	names, err := folder.Names()
	if err != nil || len(names) != 4 || !slices.IsSorted(names) {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := Folder(filepath.Join(string(folder), "none")).Names(); err != nil || names != nil {
		t.Errorf("%v, %v", names, err)
	}
	if IsName(testKey(Wallet, 1).Label()) {
		t.Error("an address is taken for a name")
	}
}

func TestNewKeysDiffer(t *testing.T) {
	seen := map[signature.PublicKey]bool{}
	for range 100 {
		a, err := NewWallet("cairn")
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewValidator()
		if err != nil {
			t.Fatal(err)
		}
		seen[a.Public()], seen[b.Public()] = true, true
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 keys differ", len(seen))
	}
}

// FuzzKeyFile: a file is refused, or names the key whose public key it holds; what then opens is that key, and the file
// that would be written of it is read as the same.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(`{"type":"wallet","address":"cairn1x","publicKey":"","secret":""}`))
	for _, kind := range []Kind{Wallet, Validator} {
		path := filepath.Join(f.TempDir(), "key.json")
		if err := CreatePlain(path, testKey(kind, 7)); err != nil {
			f.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
		f.Add(append(raw[:len(raw):len(raw)], raw...))
		f.Add(bytes.Replace(raw, []byte("plain"), []byte("Plain"), 1))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var file File
		if file.parse(raw) != nil {
			return
		}
		if file.Label != labelOf(file.Kind, prefixOf(file.content.Address), file.PublicKey) {
			t.Errorf("%q is not the name of %v", file.Label, file.PublicKey)
		}
		if !file.Plain {
			return
		}
		key, err := file.Unlock(Passphrase{})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("untyped %v", err)
			}
			return
		}
		if key.Public() != file.PublicKey || key.Label() != file.Label {
			t.Error("the secret is not that of the public key")
		}
		again := public(key)
		again.Plain, again.Secret = file.content.Plain, strings.ToLower(file.content.Secret)
		if was := file.content; again.Type != was.Type || again.Address != was.Address || again.ID != was.ID || again.PublicKey != was.PublicKey {
			t.Errorf("%+v is written as %+v", was, again)
		}
	})
}
