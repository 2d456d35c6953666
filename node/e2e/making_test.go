//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A network whose making was cut short is none: it is made anew or refused, and no home of it that is not whole starts. One that is whole
// has a safety record for every key. This is where safety records are made, so it stands for their crash points.
func TestKilledWhileMakingANetwork(t *testing.T) {
	b := newBed(t)
	r := b.random("making")
	begin := time.Now()
	b.ask(&struct{}{}, "testnet", "--output", b.path("whole"))
	life := time.Since(begin)
	cut := 0
	for i := range count(8, 200) {
		dir := b.path("made", string(rune('a'+i%26)), string(rune('a'+i/26)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.Int64N(int64(life))))
		cmd := exec.CommandContext(ctx, b.binary, "testnet", "--output", dir) // killed by SIGKILL
		_ = cmd.Run()
		cancel()
		if _, err := os.Stat(filepath.Join(dir, "network.json")); err == nil {
			checkWhole(t, dir)
			continue
		}
		cut++
		home := filepath.Join(dir, "node0")
		if _, err := os.Stat(filepath.Join(home, "validator.json")); err != nil { // the last file of a home
			if o := b.cairn("start", "--home", home); o.code == 0 {
				t.Errorf("%s started: %s", home, o.out)
			}
		}
		if o := b.cairn("testnet", "--output", dir); o.code == 0 {
			checkWhole(t, dir)
		} else if o.errOut == "" {
			t.Errorf("exit %d without a word", o.code)
		}
	}
	if cut == 0 {
		t.Error("nothing was cut short")
	}
	t.Logf("%d were cut short within %v", cut, life.Round(time.Millisecond))
}

// checkWhole wants both copies of a record beside each key.
func checkWhole(t *testing.T, dir string) {
	t.Helper()
	keys, err := filepath.Glob(filepath.Join(dir, "node*", "validator.json"))
	if err != nil || len(keys) != validators {
		t.Fatalf("%s: %v, %v", dir, keys, err)
	}
	for _, key := range keys {
		a, errA := os.ReadFile(filepath.Join(filepath.Dir(key), "safety", "safety.a"))
		c, errB := os.ReadFile(filepath.Join(filepath.Dir(key), "safety", "safety.b"))
		if err := errors.Join(errA, errB); err != nil || len(a) == 0 || string(a) != string(c) {
			t.Errorf("%s: %v, %d and %d bytes", key, err, len(a), len(c))
		}
	}
}
