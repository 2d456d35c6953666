package canonical

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGolden(t *testing.T) {
	w := NewWriter(0)
	w.String("cairn")
	w.Uint8(0xfe)
	w.Uint32(0x01020304)
	w.Uint64(0x0102030405060708)
	w.Bool(true)
	w.Bool(false)
	w.Fixed([]byte{0xaa, 0xbb})
	w.VarBytes([]byte{0xcc})
	w.VarBytes(nil)
	const want = "00000005" + "636169726e" + "fe" + "01020304" + "0102030405060708" + "01" + "00" + "aabb" + "00000001cc" + "00000000"
	if got := hex.EncodeToString(w.Bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// field is one value of some kind, to write and to read back.
type field struct {
	kind   int
	number uint64
	bytes  []byte
}

const (
	kinds = 7
	limit = 20 // of byte strings
)

func (f field) write(w *Writer) {
	switch f.kind {
	case 0:
		w.Uint8(uint8(f.number))
	case 1:
		w.Uint32(uint32(f.number))
	case 2:
		w.Uint64(f.number)
	case 3:
		w.Bool(f.number%2 == 1)
	case 4:
		w.Fixed(f.bytes)
	case 5:
		w.VarBytes(f.bytes)
	case 6:
		w.String(string(f.bytes))
	}
}

// read reports whether the next value is f's.
func (f field) read(r *Reader) bool {
	switch f.kind {
	case 0:
		return r.Uint8() == uint8(f.number)
	case 1:
		return r.Uint32() == uint32(f.number)
	case 2:
		return r.Uint64() == f.number
	case 3:
		return r.Bool() == (f.number%2 == 1)
	case 4:
		dst := make([]byte, len(f.bytes))
		r.Copy(dst)
		return bytes.Equal(dst, f.bytes)
	case 5:
		return bytes.Equal(r.VarBytes(limit), f.bytes)
	}
	return r.String(limit) == string(f.bytes)
}

// What was written reads back, every cut of it is truncated, and every byte more is trailing.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fields []field
		w := NewWriter(rapid.IntRange(0, 64).Draw(t, "room"))
		for range rapid.IntRange(1, 8).Draw(t, "fields") {
			f := field{rapid.IntRange(0, kinds-1).Draw(t, "kind"), rapid.Uint64().Draw(t, "number"), rapid.SliceOfN(rapid.Byte(), 0, limit).Draw(t, "bytes")}
			f.write(w)
			fields = append(fields, f)
		}
		read := func(b []byte) (*Reader, bool) {
			r, same := NewReader(b), true
			for _, f := range fields {
				same = f.read(r) && same
			}
			return r, same
		}
		all := w.Bytes()
		if r, same := read(all); !same || r.Len() != 0 || r.Err() != nil || r.Close() != nil {
			t.Fatalf("%v does not read back from %x: %v", fields, all, r.Err())
		}
		if r, _ := read(append(bytes.Clone(all), 0)); !errors.Is(r.Close(), ErrTrailing) {
			t.Fatalf("a byte more: %v", r.Close())
		}
		if cut := rapid.IntRange(0, len(all)).Draw(t, "cut"); cut < len(all) {
			if r, _ := read(all[:cut]); !errors.Is(r.Close(), ErrTruncated) {
				t.Fatalf("cut at %d: %v", cut, r.Close())
			}
		}
	})
}

func TestLengthLimits(t *testing.T) {
	for length, want := range map[int]error{0: nil, limit - 1: nil, limit: nil, limit + 1: ErrTooLong} {
		w := NewWriter(0)
		w.VarBytes(make([]byte, length))
		r := NewReader(w.Bytes())
		if got := r.VarBytes(limit); !errors.Is(r.Err(), want) || want == nil && len(got) != length || want != nil && got != nil {
			t.Errorf("length %d: %d bytes, %v", length, len(got), r.Err())
		}
		r = NewReader(w.Bytes())
		if got := r.String(limit); !errors.Is(r.Err(), want) || want == nil && got != strings.Repeat("\x00", length) {
			t.Errorf("string of %d: %q, %v", length, got, r.Err())
		}
	}
	// A length that the input does not have, and one that would overflow a smaller int.
	for _, length := range []uint32{5, math.MaxInt32, math.MaxUint32} {
		w := NewWriter(0)
		w.Uint32(length)
		w.Fixed(make([]byte, 4))
		r := NewReader(w.Bytes())
		if got := r.VarBytes(math.MaxInt); got != nil || !errors.Is(r.Err(), ErrTruncated) {
			t.Errorf("length %d: %v", length, r.Err())
		}
	}
}

func TestBoolIsZeroOrOne(t *testing.T) {
	for b := range 256 {
		r := NewReader([]byte{byte(b)})
		got := r.Bool()
		if want := b > 1; errors.Is(r.Close(), ErrNotCanonical) != want || got != (b == 1) {
			t.Errorf("%d: %v, %v", b, got, r.Close())
		}
	}
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		count       uint32
		limit, size int
		have        int
		want        error
	}{
		{0, 0, 8, 0, nil}, {3, 3, 8, 24, nil}, {3, 4, 8, 25, nil}, {4, 3, 8, 32, ErrTooLong}, {3, 3, 8, 23, ErrTruncated},
		{math.MaxUint32, math.MaxInt, math.MaxInt32, 100, ErrTruncated}, {math.MaxUint32, 10, 0, 0, ErrTooLong},
	} {
		w := NewWriter(0)
		w.Uint32(c.count)
		w.Fixed(make([]byte, c.have))
		r := NewReader(w.Bytes())
		got := r.Count(c.limit, c.size)
		if !errors.Is(r.Err(), c.want) || c.want == nil && got != int(c.count) || c.want != nil && got != 0 {
			t.Errorf("%+v: %d, %v", c, got, r.Err())
		}
	}
}

func TestFirstErrorSticks(t *testing.T) {
	r := NewReader([]byte{2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	r.Bool()
	untouched := []byte{7, 7}
	r.Copy(untouched)
	if r.Uint8() != 0 || r.Uint32() != 0 || r.Uint64() != 0 || r.Bool() || r.Fixed(1) != nil || r.VarBytes(9) != nil ||
		r.String(9) != "" || r.Count(9, 0) != 0 || untouched[0] != 7 || untouched[1] != 7 {
		t.Error("a value was read after an error")
	}
	r.Fail(ErrTooLong)
	if !errors.Is(r.Close(), ErrNotCanonical) || errors.Is(r.Close(), ErrTooLong) {
		t.Errorf("error became %v", r.Close())
	}
	r = NewReader(nil)
	r.Fail(ErrTooLong)
	if !errors.Is(r.Err(), ErrTooLong) {
		t.Errorf("error is %v", r.Err())
	}
}

// What the Reader gives out cannot be appended into what follows it.
func TestValuesDoNotShareRoom(t *testing.T) {
	in := []byte{1, 2, 3, 4}
	first := NewReader(in).Fixed(2)
	_ = append(first, 9)
	if in[2] != 3 {
		t.Error("an append to a value changed the next one")
	}
}

// FuzzReader: any program of reads over any input neither panics nor reads a value in a second encoding.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6}, []byte("\x00\x00\x00\x01x\x00\x00\x00\x02"))
	f.Fuzz(func(t *testing.T, program, input []byte) {
		r, w := NewReader(input), NewWriter(len(input))
		for _, kind := range program {
			switch kind % kinds {
			case 0:
				w.Uint8(r.Uint8())
			case 1:
				w.Uint32(r.Uint32())
			case 2:
				w.Uint64(r.Uint64())
			case 3:
				w.Bool(r.Bool())
			case 4:
				w.Fixed(r.Fixed(int(kind / kinds)))
			case 5:
				w.VarBytes(r.VarBytes(limit))
			case 6:
				w.Uint32(uint32(r.Count(limit, 1)))
			}
			if r.Err() != nil {
				return
			}
		}
		if consumed := input[:len(input)-r.Len()]; !bytes.Equal(w.Bytes(), consumed) {
			t.Fatalf("read %x, wrote %x", consumed, w.Bytes())
		}
	})
}
