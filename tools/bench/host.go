package main

import (
	"crypto/ed25519"
	"os"
	"runtime"
	"slices"
	"time"
)

// Host is where it was measured.
type Host struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	CPU  string `json:"cpu,omitempty"`
	Load string `json:"load,omitempty"` // the load averages before the first run; above 0 others use the host too

	// Two yardsticks, each the median of many, right before the first run: hosts differ, and the same one from hour to hour.
	SyncMicros   float64 `json:"syncUs,omitempty"`   // to write 1 KiB in place and make it durable, in the networks' folder
	VerifyMicros float64 `json:"verifyUs,omitempty"` // to verify an Ed25519 signature
}

// thisHost measures in a folder, which must exist.
func thisHost(dir string) (Host, error) {
	h := Host{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), VerifyMicros: verifyMicros()}
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		h.CPU = cpuModel(string(raw))
	}
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		h.Load = firstFields(string(raw), 3)
	}
	var err error
	h.SyncMicros, err = syncMicros(dir)
	return h, err
}

// yardsticks is how often each is measured.
const yardsticks = 200

// medianMicros returns how long the calls of f take, up to the first error.
func medianMicros(f func() error) (float64, error) {
	var took []time.Duration
	for range yardsticks {
		begin := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds()) / 1000, nil
}

func syncMicros(dir string) (micros float64, err error) {
	f, err := os.CreateTemp(dir, "yardstick")
	if err != nil {
		return 0, err
	}
	content := make([]byte, 1<<10)
	write := func() error {
		if _, err := f.WriteAt(content, 0); err != nil {
			return err
		}
		return f.Sync()
	}
	micros, err = medianMicros(write)
	if e := f.Close(); err == nil {
		err = e
	}
	if e := os.Remove(f.Name()); err == nil {
		err = e
	}
	return micros, err
}

func verifyMicros() float64 {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	message := make([]byte, 256)
	public, signature := key.Public().(ed25519.PublicKey), ed25519.Sign(key, message)
	micros, _ := medianMicros(func() error { ed25519.Verify(public, message, signature); return nil })
	return micros
}
