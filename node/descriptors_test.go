package node

import (
	"errors"
	"strings"
	"testing"
)

func TestShareFiles(t *testing.T) {
	least := uint64(reservedFiles(3) + publicListeners*minConnections)
	for _, c := range []struct {
		limit       uint64
		connections int
	}{
		{0, 0}, {256, 0}, {least - 1, 0}, {least, minConnections}, {least + 3, minConnections + 1}, {1024, (1024 - reservedFiles(3)) / 3},
		{uint64(reservedFiles(3) + 3*maxConnections - 1), maxConnections - 1}, {uint64(reservedFiles(3) + 3*maxConnections), maxConnections}, {1 << 40, maxConnections},
	} {
		got, err := shareFiles(c.limit, 3)
		if got.connections != c.connections || (err != nil) != (c.connections == 0) {
			t.Errorf("%d: %+v, %v", c.limit, got, err)
		}
		if err != nil && (!errors.Is(err, ErrFewFiles) || RefusalOf(err) != RefusedFiles || !strings.Contains(err.Error(), "ulimit -n")) {
			t.Errorf("%d: %v", c.limit, err)
		}
	}
	if least > 1024 {
		t.Errorf("four validators need %d files: more than a usual limit", least)
	}
}
