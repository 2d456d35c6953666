package ledger

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnchain/cairn/consensus"
)

// The valid strings of BIP-350. The upper-case one is a second text of the second and so refused here.
func TestBech32mValidVectors(t *testing.T) {
	for _, text := range []string{
		"a1lqfn3a",
		"an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
		"abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
		"11" + strings.Repeat("l", 83) + "udsr8",
		"split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
		"?1v759aa",
	} {
		prefix, data, err := bech32mDecode([]byte(text), nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if again := bech32mEncode(string(prefix), data); again != text {
			t.Errorf("%q encodes again as %q", text, again)
		}
	}
	if _, _, err := bech32mDecode([]byte("A1LQFN3A"), nil); !errors.Is(err, errBech32Alphabet) {
		t.Errorf("upper case: got %v", err)
	}
}

// The invalid strings of BIP-350, and a valid one of BIP-173, whose checksum has another constant.
func TestBech32mInvalidVectors(t *testing.T) {
	for text, want := range map[string]error{
		" 1xj0phk":      errBech32Alphabet,
		"\x7f1g6xzxy":   errBech32Alphabet,
		"\x801vctc34":   errBech32Alphabet,
		"qyrz8wqd2c9m":  errBech32Prefix,
		"1qyrz8wqd2c9m": errBech32Prefix,
		"y1b0jsk6g":     errBech32Alphabet,
		"lt1igcx5c0":    errBech32Alphabet,
		"in1muywd":      errBech32Length,
		"mm1crxm3i":     errBech32Alphabet,
		"au1s5cgom":     errBech32Alphabet,
		"M1VUXWEZ":      errBech32Alphabet,
		"16plkw9":       errBech32Prefix,
		"1p2gdwpf":      errBech32Prefix,
		"a12uel5l":      errBech32Checksum,
		"":              errBech32Prefix,
		"an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4": errBech32Length,
	} {
		if _, _, err := bech32mDecode([]byte(text), nil); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
}

func TestAddressText(t *testing.T) {
	address := addressOf(0)
	text := address.Text(DefaultPrefix)
	if !strings.HasPrefix(text, "cairn1") || len(text) != len(DefaultPrefix)+1+32+6 {
		t.Fatalf("address reads %q", text)
	}
	back, err := ParseAddress(DefaultPrefix, text)
	if err != nil || back != address {
		t.Fatalf("parsed %v, %v", back, err)
	}
	for name, bad := range map[string]string{
		"upper case":   strings.ToUpper(text),
		"prefix":       address.Text("other"),
		"short":        bech32mEncode(DefaultPrefix, make([]byte, 31)),
		"long":         bech32mEncode(DefaultPrefix, make([]byte, 33)),
		"wrong letter": text[:len(text)-1] + "b",
		"empty":        "",
		"hex":          consensus.ValidatorID(address).String(),
		"space":        text + " ",
	} {
		if _, err := ParseAddress(DefaultPrefix, bad); !errors.Is(err, consensus.ErrMalformed) {
			t.Errorf("%s: %q gave %v", name, bad, err)
		}
	}
}

// Any change of up to four characters is found.
func TestAddressTyposAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Address
		copy(a[:], rapid.SliceOfN(rapid.Byte(), len(a), len(a)).Draw(t, "address"))
		text := []byte(a.Text(DefaultPrefix))
		for _, at := range rapid.SliceOfNDistinct(rapid.IntRange(6, len(text)-1), 1, 4, rapid.ID[int]).Draw(t, "at") {
			old := bech32Value[text[at]]
			text[at] = bech32Alphabet[(old+byte(rapid.IntRange(1, 31).Draw(t, "by")))%32]
		}
		if _, err := ParseAddress(DefaultPrefix, string(text)); !errors.Is(err, errBech32Checksum) {
			t.Fatalf("%s: got %v", text, err)
		}
	})
}

func TestPrefix(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"c": true, "cairn": true, "c4": true, strings.Repeat("a", MaxPrefix): true, strings.Repeat("a", MaxPrefix+1): false,
		"": false, "4c": false, "Cairn": false, "ca-irn": false, "é": false,
	} {
		if err := checkPrefix(prefix); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add(DefaultPrefix, addressOf(0).Text(DefaultPrefix))
	f.Add("a", "a1lqfn3a")
	f.Add("1", "11"+strings.Repeat("l", 83)+"udsr8")
	f.Fuzz(func(t *testing.T, prefix, text string) {
		a, err := ParseAddress(prefix, text)
		if err != nil {
			if !errors.Is(err, consensus.ErrMalformed) {
				t.Fatalf("%q: untyped %v", text, err)
			}
			return
		}
		if a.Text(prefix) != text {
			t.Fatalf("%q is a second text of %q", text, a.Text(prefix))
		}
	})
}
