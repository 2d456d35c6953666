package peer

import "testing"

// TestTenancy: a process that comes back after another one displaced it shows that both live; that one is refused then,
// but only while the first is connected. A restart is nothing of that.
func TestTenancy(t *testing.T) {
	type arrival struct {
		life     uint64
		isUp, ok bool
	}
	for name, arrivals := range map[string][]arrival{
		"restarts":                  {{1, false, true}, {2, true, true}, {3, false, true}, {3, true, true}},
		"a rival":                   {{1, false, true}, {2, true, true}, {1, true, true}, {2, true, false}, {2, true, false}, {1, true, true}},
		"a rival outlives":          {{1, false, true}, {2, true, true}, {1, true, true}, {2, true, false}, {2, false, true}, {2, true, true}},
		"a third":                   {{1, false, true}, {2, true, true}, {1, true, true}, {3, true, true}, {1, true, true}, {3, true, false}},
		"a process that is unknown": {{0, false, true}, {0, true, true}, {1, true, true}, {0, true, true}, {1, true, true}},
	} {
		var tenant tenancy
		for i, a := range arrivals {
			if got := tenant.admit(a.life, a.isUp); got != a.ok {
				t.Errorf("%s: arrival %d: %v", name, i, got)
			}
		}
	}
	var tenant tenancy
	for life := uint64(1); life <= 3*livesKept; life++ {
		tenant.admit(life, true)
		if len(tenant.displaced) > livesKept {
			t.Fatalf("%d lives are kept", len(tenant.displaced))
		}
	}
	if tenant.admit(2*livesKept, true); tenant.rival == 0 {
		t.Error("one of the kept lives came back, and no rival is known")
	}
}
