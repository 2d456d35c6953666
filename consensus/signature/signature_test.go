package signature

import (
	"bytes"
	stdlib "crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The tests 1, 2, 3 and SHA(abc) of RFC 8032, 7.1.
func TestRFC8032(t *testing.T) {
	abc := sha512.Sum512([]byte("abc"))
	for _, v := range []struct {
		seed, public string
		message      []byte
		signature    string
	}{
		{
			"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", nil,
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
		},
		{
			"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", []byte{0x72},
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		},
		{
			"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", []byte{0xaf, 0x82},
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
		},
		{
			"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
			"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf", abc[:],
			"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
		},
	} {
		key, err := Generate(bytes.NewReader(unhex(t, v.seed)))
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Public().String(); got != v.public {
			t.Errorf("public key %s, want %s", got, v.public)
		}
		signature := key.Sign(v.message)
		if signature.String() != v.signature {
			t.Errorf("signature %s, want %s", signature, v.signature)
		}
		wantVerdict(t, true, Item{key.Public(), v.message, signature})
		wantVerdict(t, false, Item{key.Public(), append([]byte{0}, v.message...), signature})
		if seed := key.Seed(); hex.EncodeToString(seed[:]) != v.seed {
			t.Errorf("seed %x", seed)
		}
	}
}

// edgeEncodings are the 14 encodings of points of small order: the eight points in their canonical form, then the six
// other forms that decode to one of them (a y of at least the prime, or a sign where x is 0).
var edgeEncodings = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// The 196 edge vectors of ZIP-215: every pair of them as key and as R, with s = 0. The rule accepts all; the standard
// library accepts 12, which is why it must verify nothing on the chain.
func TestZIP215EdgeVectors(t *testing.T) {
	var all []Item
	byStdlib := 0
	for _, key := range edgeEncodings {
		for _, r := range edgeEncodings {
			item := Item{Message: []byte("Zcash")}
			copy(item.Key[:], unhex(t, key))
			copy(item.Signature[:], unhex(t, r))
			wantVerdict(t, true, item)
			all = append(all, item)
			if stdlib.Verify(item.Key[:], item.Message, item.Signature[:]) {
				byStdlib++
			}
		}
	}
	if len(all) != 196 || byStdlib != 12 {
		t.Errorf("%d vectors, the standard library accepts %d of them", len(all), byStdlib)
	}
	if !NewEd25519().Verify(all) {
		t.Error("the batch of all is refused")
	}
}

// Adding the group's order to s gives a second signature of the same message, unless it is refused.
func TestMalleatedSignatureIsRefused(t *testing.T) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	key, message := keyOf(1), []byte("message")
	signature := key.Sign(message)
	s := slices.Clone(signature[32:])
	slices.Reverse(s)
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	malleated := signature
	copy(malleated[32:], sum)
	if malleated == signature {
		t.Fatal("nothing was changed")
	}
	wantVerdict(t, true, Item{key.Public(), message, signature})
	wantVerdict(t, false, Item{key.Public(), message, malleated})
	// s of exactly the order: the smallest that is refused.
	least := order.FillBytes(make([]byte, 32))
	slices.Reverse(least)
	item := Item{Message: message}
	copy(item.Key[:], unhex(t, edgeEncodings[0]))
	copy(item.Signature[:], unhex(t, edgeEncodings[0]))
	wantVerdict(t, true, item)
	copy(item.Signature[32:], least)
	wantVerdict(t, false, item)
}

func TestKeyThatIsNoPoint(t *testing.T) {
	item := Item{Message: []byte("m"), Signature: keyOf(1).Sign([]byte("m"))}
	item.Key = PublicKey{2} // y = 2 has no x
	wantVerdict(t, false, item)
}

// wantVerdict checks item alone and in batches of each size around the one from which batches are made, at each place,
// by a verifier that has not seen the key and by one that has.
func wantVerdict(t *testing.T, want bool, item Item) {
	t.Helper()
	good := Item{Key: keyOf(7).Public(), Message: []byte("good"), Signature: keyOf(7).Sign([]byte("good"))}
	verifier := NewEd25519()
	for round := range 2 {
		for size := 1; size <= batchFrom+1; size++ {
			for at := range size {
				items := slices.Repeat([]Item{good}, size)
				items[at] = item
				if got := verifier.Verify(items); got != want {
					t.Fatalf("round %d: at %d of %d: %v, want %v (key %s, signature %s)", round, at, size, got, want, item.Key, item.Signature)
				}
			}
		}
	}
}

func TestVerifyOfNothing(t *testing.T) {
	if !NewEd25519().Verify(nil) {
		t.Error("no claim is refused")
	}
}

// Batch and single verification agree on everything, also on what is broken in one bit.
func TestBatchAgreesWithSingle(t *testing.T) {
	verifier := NewEd25519()
	rapid.Check(t, func(t *rapid.T) {
		items := make([]Item, rapid.IntRange(batchFrom, 3*batchFrom).Draw(t, "size"))
		all := true
		for i := range items {
			key := keyOf(rapid.IntRange(0, 3).Draw(t, "key"))
			message := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "message")
			items[i] = Item{key.Public(), message, key.Sign(message)}
			if rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
				bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
				switch rapid.IntRange(0, 2).Draw(t, "part") {
				case 0:
					items[i].Key[rapid.IntRange(0, PublicKeySize-1).Draw(t, "at")] ^= bit
				case 1:
					items[i].Message = slices.Clone(message)
					items[i].Message[0] ^= bit
				default:
					items[i].Signature[rapid.IntRange(0, Size-1).Draw(t, "at")] ^= bit
				}
			}
			all = verifier.Verify(items[i:i+1]) && all
		}
		if got := verifier.Verify(items); got != all {
			t.Fatalf("the batch says %v, one by one %v", got, all)
		}
	})
}

func TestTextForms(t *testing.T) {
	key, signature := keyOf(1).Public(), keyOf(1).Sign(nil)
	if got, err := ParsePublicKey(key.String()); err != nil || got != key {
		t.Errorf("public key: %v, %v", got, err)
	}
	if got, err := Parse(signature.String()); err != nil || got != signature {
		t.Errorf("signature: %v, %v", got, err)
	}
	for _, text := range []string{"", "00", strings.ToUpper(key.String()), key.String() + "00", key.String()[2:], strings.Repeat("g", 64)} {
		if _, err := ParsePublicKey(text); !errors.Is(err, ErrMalformed) {
			t.Errorf("public key %q: %v", text, err)
		}
	}
	if _, err := Parse(key.String()); !errors.Is(err, ErrMalformed) {
		t.Errorf("short signature: %v", err)
	}
}

func TestGenerateNeedsRandomness(t *testing.T) {
	if _, err := Generate(bytes.NewReader(make([]byte, SeedSize-1))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// FuzzVerify: what one verifies alone and in a batch is the same, and nothing panics.
func FuzzVerify(f *testing.F) {
	signature := keyOf(1).Sign([]byte("m"))
	public := keyOf(1).Public()
	f.Add(public[:], []byte("m"), signature[:])
	f.Add(unhex(f, edgeEncodings[12]), []byte("Zcash"), append(unhex(f, edgeEncodings[13]), make([]byte, 32)...))
	verifier := NewEd25519()
	f.Fuzz(func(t *testing.T, key, message, sig []byte) {
		item := Item{Message: message}
		copy(item.Key[:], key)
		copy(item.Signature[:], sig)
		if verifier.Verify([]Item{item}) != verifier.Verify(slices.Repeat([]Item{item}, batchFrom)) {
			t.Fatal("batch and single disagree")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{1, 3, 16, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			items := make([]Item, size)
			for i := range items {
				message := []byte(fmt.Sprint(i))
				items[i] = Item{keyOf(i % 8).Public(), message, keyOf(i % 8).Sign(message)}
			}
			verifier := NewEd25519()
			for b.Loop() {
				if !verifier.Verify(items) {
					b.Fatal("refused")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/signature")
		})
	}
}

func keyOf(n int) PrivateKey { return NewPrivateKey([SeedSize]byte{byte(n), 42}) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPrivateKeyIsNeverPrinted(t *testing.T) {
	key := NewPrivateKey([SeedSize]byte{1, 2, 3})
	seed := key.Seed()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb, key) + fmt.Sprintf(verb, struct{ K PrivateKey }{key})
		if strings.Contains(text, hex.EncodeToString(seed[:4])) || strings.Contains(text, "1 2 3") || !strings.Contains(text, key.Public().String()) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	if text := fmt.Sprint(PrivateKey{}); text != "no private key" {
		t.Errorf("the zero key prints %s", text)
	}
}

// FuzzParse: a key and a signature each have one text.
func FuzzParse(f *testing.F) {
	key := NewPrivateKey([SeedSize]byte{1})
	f.Add(key.Public().String())
	f.Add(key.Sign(nil).String())
	f.Add(strings.ToUpper(key.Public().String()))
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParsePublicKey(text)
		if err == nil && k.String() != text || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q is the key %v, %v", text, k, err)
		}
		s, err := Parse(text)
		if err == nil && s.String() != text || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q is the signature %v, %v", text, s, err)
		}
	})
}
