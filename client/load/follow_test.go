package load

import "testing"

func TestFurthest(t *testing.T) {
	for name, c := range map[string]struct {
		heights []uint64
		node    int
		best    int
		lags    bool
	}{
		"alone":                       {[]uint64{7}, 0, 0, false},
		"a little behind":             {[]uint64{100, 100 + overtakenBy - 1}, 0, 1, false},
		"left behind":                 {[]uint64{100, 100 + overtakenBy - 1, 100 + overtakenBy}, 0, 2, true},
		"ahead":                       {[]uint64{100, 1000}, 1, 1, false},
		"no answer":                   {[]uint64{0, 1000}, 0, 1, true},
		"no answer, on a short chain": {[]uint64{0, 1}, 0, 1, true},
		"nobody answers":              {[]uint64{0, 0}, 1, 0, false},
	} {
		if best, lags := furthest(c.heights, c.node); best != c.best || lags != c.lags {
			t.Errorf("%s: %d, %v", name, best, lags)
		}
	}
}
