package node

import (
	"slices"
	"testing"

	"github.com/cairnchain/cairn/storage"
)

// countedKV counts the batches that are written, by step.
type countedKV struct {
	storage.KV
	steps *[]storage.Step
}

func (c countedKV) Write(b *storage.Batch, sync bool) error {
	*c.steps = append(*c.steps, b.Step)
	return c.KV.Write(b, sync)
}

// A node writes through the devices that it is given, and makes the one of its safety record first.
func TestDevices(t *testing.T) {
	c := newCluster(t, 1)
	var made []string
	var steps []storage.Step
	opts := Options{Home: c.members[0].home, Settings: DefaultSettings(), Devices: Devices{
		Safety:   func(f storage.Files) storage.Files { made = append(made, "safety"); return f },
		Database: func(kv storage.KV) storage.KV { made = append(made, "database"); return countedKV{kv, &steps} },
	}}
	opts.Settings.RPC.Address, opts.Settings.REST.Address = "127.0.0.1:0", "127.0.0.1:0"
	opts.Settings.Metrics.Address, opts.Settings.Peer.Address = "127.0.0.1:0", "127.0.0.1:0"
	n, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(made, []string{"safety", "database"}) || !slices.Equal(steps, []storage.Step{storage.StepGenesis}) {
		t.Errorf("made %v, written %v", made, steps)
	}
}
