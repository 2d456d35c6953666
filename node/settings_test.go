package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
)

// another returns, for each type of setting, a text of a value other than any default, and the value.
func another(t *testing.T, f field) (string, any) {
	t.Helper()
	switch f.Value.Interface().(type) {
	case int:
		return "4321", 4321
	case bool:
		return "true", true
	case float64:
		return "0.5", 0.5
	case time.Duration:
		return "17s", 17 * time.Second
	case Size:
		return "3KiB", Size(3 << 10)
	case []string:
		return "http://a.example, http://b.example", []string{"http://a.example", "http://b.example"}
	case string:
		return "some text", "some text"
	}
	t.Fatalf("setting %s: the test knows no value of type %s", f.Key, f.Value.Type())
	return "", nil
}

// Every setting can be given by flag, environment and file, in that order of precedence, and its default is valid.
func TestEverySettingHasEverySource(t *testing.T) {
	var shape Settings
	fields := fieldsOf(&shape)
	if len(fields) < 25 {
		t.Fatalf("only %d settings found", len(fields))
	}
	names := map[string]string{}
	for _, f := range fields {
		for _, name := range append([]string{f.Key, f.Flag}, f.Env...) {
			if name == "" {
				continue
			}
			if before, twice := names[name]; twice && before != f.Key {
				t.Errorf("%s names both %s and %s", name, before, f.Key)
			}
			names[name] = f.Key
		}
		if f.Help == "" || strings.HasSuffix(f.Help, ".") || strings.Contains(f.Help, "|") {
			t.Errorf("%s: help %q", f.Key, f.Help)
		}
		if f.Flag == "" {
			continue // peers
		}
		t.Run(f.Key, func(t *testing.T) { checkSources(t, f) })
	}
}

func checkSources(t *testing.T, f field) {
	text, want := another(t, f)
	value := func(path string, flags *pflag.FlagSet) any {
		t.Helper()
		s, err := loadUnchecked(path, flags)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range fieldsOf(&s) {
			if got.Key == f.Key {
				return got.Value.Interface()
			}
		}
		return nil
	}
	group, leaf, _ := strings.Cut(f.Key, ".")
	file := writeFile(t, fmt.Sprintf("%s:\n  %s: %q\n", group, leaf, text))
	if got := value(file, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("from the file: %v, want %v", got, want)
	}
	empty := writeFile(t, "")
	for _, env := range f.Env {
		t.Run(env, func(t *testing.T) {
			t.Setenv(env, text)
			if got := value(empty, nil); !reflect.DeepEqual(got, want) {
				t.Errorf("from the environment: %v, want %v", got, want)
			}
		})
	}
	other := map[bool]string{true: f.Default, false: "http://c.example"}[f.Default != ""]
	t.Setenv(f.Env[0], other)
	if got := value(file, nil); reflect.DeepEqual(got, want) {
		t.Error("the file prevails over the environment")
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddSettingFlags(flags, nil)
	if err := flags.Parse([]string{"--" + f.Flag, text}); err != nil {
		t.Fatal(err)
	}
	if got := value(empty, flags); !reflect.DeepEqual(got, want) {
		t.Errorf("from the flag: %v, want %v", got, want)
	}
}

// loadUnchecked is LoadSettings but for settings out of their range.
func loadUnchecked(path string, flags *pflag.FlagSet) (Settings, error) {
	s := DefaultSettings()
	v, err := readSettings(path)
	if err != nil {
		return s, err
	}
	return s, s.fill(v, flags)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValidAndAsDocumented(t *testing.T) {
	s := DefaultSettings()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	want := Settings{
		RPC:       RPCSettings{"127.0.0.1:9090", 10_000, 50, 30 * time.Second, 25_000, 50_000},
		REST:      RESTSettings{"127.0.0.1:8080", nil, 1 << 20},
		Metrics:   MetricsSettings{"127.0.0.1:9464"},
		Peer:      PeerSettings{"127.0.0.1:7070"},
		Consensus: ConsensusSettings{time.Second, 1.2, 10 * time.Second, 10 * time.Second},
		Mempool:   MempoolSettings{50_000, 64 << 20, 100, 10 * time.Minute, 5 * time.Millisecond, 512, 4, time.Second},
		Block:     BlockSettings{5000, 2 << 20},
		Storage:   StorageSettings{64 << 20},
		Telemetry: TelemetrySettings{"", 1, 1, false},
		Log:       LogSettings{"info", "text"},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	table := SettingsTable()
	for _, f := range fieldsOf(&s) {
		if !strings.Contains(table, "| `"+f.Key+"` |") {
			t.Errorf("%s is not in the table", f.Key)
		}
	}
}

func TestSettingsFileIsReadBack(t *testing.T) {
	full := DefaultSettings()
	for _, f := range fieldsOf(&full) {
		if f.Flag != "" {
			text, _ := another(t, f)
			if err := decodeSetting(f.Value.Addr().Interface(), text); err != nil {
				t.Fatal(err)
			}
		}
	}
	full.Node.Name = "a \"quoted\": name # not a comment"
	full.Peers = []PeerEntry{
		{"node1", strings.Repeat("0", 64), "127.0.0.1:7071"}, {"node 2: x", strings.Repeat("1", 64), "[::1]:7072"},
	}
	for name, s := range map[string]Settings{"defaults": DefaultSettings(), "all": full} {
		got, err := loadUnchecked(writeFile(t, s.YAML()), nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("%s: %s\n%s", name, diff, s.YAML())
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, test := range map[string]struct{ file, key, says string }{
		"typo":              {"rpc:\n  adress: x\n", "rpc.adress", "did you mean rpc.address?"},
		"typo in group":     {"rpx:\n  address: x\n", "rpx.address", "did you mean rpc.address?"},
		"unlike anything":   {"zzzzzzzzzzzzzzz: 1\n", "zzzzzzzzzzzzzzz", "no such setting"},
		"value for group":   {"rpc: 5\n", "rpc", "group"},
		"group for value":   {"rpc:\n  address:\n    port: 5\n", "rpc.address.port", "below"},
		"list for value":    {"log:\n  level: [info]\n", "log.level", "found a list"},
		"no unit":           {"mempool:\n  ttl: 600\n", "mempool.ttl", "unit"},
		"not a number":      {"rpc:\n  max-streams: many\n", "rpc.max-streams", "whole number"},
		"fraction":          {"rpc:\n  max-streams: 1.5\n", "rpc.max-streams", "whole number"},
		"truth value":       {"rpc:\n  max-streams: true\n", "rpc.max-streams", "whole number"},
		"not finite":        {"telemetry:\n  sample-rounds: .nan\n", "telemetry.sample-rounds", "number"},
		"bad size":          {"rest:\n  max-body: 1 MB\n", "rest.max-body", "KiB"},
		"size too large":    {"rest:\n  max-body: 9000000000GiB\n", "rest.max-body", "no size"},
		"negative size":     {"rest:\n  max-body: -1\n", "rest.max-body", "no size"},
		"out of range":      {"block:\n  max-transactions: 5001\n", "block.max-transactions", "1…5000"},
		"no port":           {"rpc:\n  address: localhost\n", "rpc.address", "host:port"},
		"named port":        {"rpc:\n  address: localhost:http\n", "rpc.address", "number"},
		"port too large":    {"rpc:\n  address: localhost:65536\n", "rpc.address", "65535"},
		"same address":      {"rest:\n  address: 127.0.0.1:9090\n", "rest.address", "also rpc.address"},
		"cap below base":    {"consensus:\n  round-timeout-cap: 1ms\n", "consensus.round-timeout-cap", "below"},
		"origin":            {"rest:\n  cors-origins: [example.com]\n", "rest.cors-origins", "http://"},
		"otlp":              {"telemetry:\n  otlp: ftp://x\n", "telemetry.otlp", "host:port"},
		"otlp with path":    {"telemetry:\n  otlp: http://x:4317/v1/traces\n", "telemetry.otlp", "more than a host"},
		"otlp without host": {"telemetry:\n  otlp: :4317\n", "telemetry.otlp", "empty"},
		"no truth value":    {"telemetry:\n  profiling: perhaps\n", "telemetry.profiling", "neither true nor false"},
		"profiles for all":  {"telemetry:\n  profiling: true\nmetrics:\n  address: 0.0.0.0:9464\n", "telemetry.profiling", "loopback"},
		"profiles nowhere":  {"telemetry:\n  profiling: true\nmetrics:\n  address: ''\n", "telemetry.profiling", "loopback"},
		"level":             {"log:\n  level: loud\n", "log.level", "debug, info"},
		"peers no list":     {"peers: 5\n", "peers", "want a list"},
		"peer key":          {"peers: [{name: a, adress: b}]\n", "peers", "did you mean address?"},
		"peer without key":  {"peers: [{name: a, address: 'b:1'}]\n", "peers", "public-key"},
		"peer of odd shape": {"peers: [5]\n", "peers", "entry 0"},
		"not YAML":          {"\t: [", "", "cannot be read"},
		"key twice":         {"log: {level: info}\nlog: {level: debug}\n", "", "already defined"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadSettings(writeFile(t, test.file), nil)
			var setting *SettingError
			if !errors.As(err, &setting) || setting.Key != test.key || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want one about %q that says %q", err, test.key, test.says)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		if _, err := LoadSettings(filepath.Join(t.TempDir(), "none"), nil); err == nil {
			t.Error("a file that does not exist was read")
		}
	})
	t.Run("environment", func(t *testing.T) {
		t.Setenv("CAIRN_SERVICE_HOST", "10.0.0.1") // a scheduler's, not ours
		if _, err := LoadSettings("", nil); err != nil {
			t.Error(err)
		}
		t.Setenv("CAIRN_RPC_ADRESS", "x")
		if _, err := LoadSettings("", nil); err == nil || !strings.Contains(err.Error(), "CAIRN_RPC_ADDRESS?") {
			t.Error(err)
		}
	})
	t.Run("flag", func(t *testing.T) {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		AddSettingFlags(flags, func(key string) bool { return key == "mempool.ttl" })
		if err := flags.Parse([]string{"--mempool-ttl=600"}); err == nil || !strings.Contains(err.Error(), "unit") {
			t.Error(err)
		}
		if flags.Lookup("rpc-address") != nil {
			t.Error("a flag that was not asked for")
		}
	})
}

// Each limit is met exactly.
func TestValidateLimits(t *testing.T) {
	for _, test := range []struct {
		key     string
		set     func(*Settings, int)
		in, out []int
	}{
		{"rpc.max-streams", func(s *Settings, n int) { s.RPC.MaxStreams = n }, []int{1}, []int{0, -1}},
		{"rpc.submit-rate", func(s *Settings, n int) { s.RPC.SubmitRate = n }, []int{1}, []int{0, -1}},
		{"rpc.submit-burst", func(s *Settings, n int) { s.RPC.SubmitBurst = n }, []int{1}, []int{0, -1}},
		{"rest.max-body", func(s *Settings, n int) { s.REST.MaxBody = Size(n) }, []int{1 << 10, 1<<10 + 1}, []int{1<<10 - 1}},
		{"mempool.max-bytes", func(s *Settings, n int) { s.Mempool.MaxBytes = Size(n) }, []int{64 << 10}, []int{64<<10 - 1}},
		{"mempool.share-interval", func(s *Settings, n int) { s.Mempool.ShareInterval = time.Duration(n) },
			[]int{0, 1, 1e9}, []int{-1, 1e9 + 1}},
		{"mempool.share-batch", func(s *Settings, n int) { s.Mempool.ShareBatch = n }, []int{1, 1024}, []int{0, 1025}},
		{"mempool.max-inbound", func(s *Settings, n int) { s.Mempool.MaxInbound = n }, []int{1, 256}, []int{0, 257}},
		{"mempool.gc-interval", func(s *Settings, n int) { s.Mempool.GCInterval = time.Duration(n) },
			[]int{1e7, 60e9}, []int{0, 1e7 - 1, 60e9 + 1}},
		{"block.max-transactions", func(s *Settings, n int) { s.Block.MaxTransactions = n }, []int{1, 4999, 5000}, []int{0, 5001}},
		{"block.max-bytes", func(s *Settings, n int) { s.Block.MaxBytes = Size(n) },
			[]int{64 << 10, 2 << 20}, []int{64<<10 - 1, 2<<20 + 1}},
		{"node.name", func(s *Settings, n int) { s.Node.Name = strings.Repeat("x", n) }, []int{0, 64}, []int{65}},
		{"rpc.address", func(s *Settings, n int) { s.RPC.Address = fmt.Sprintf("h:%d", n) }, []int{0, 65535}, []int{-1, 65536}},
		{"consensus.round-timeout-growth", func(s *Settings, n int) { s.Consensus.RoundTimeoutGrowth = float64(n) },
			[]int{1, 10}, []int{0, 11}},
		{"telemetry.sample-rounds", func(s *Settings, n int) { s.Telemetry.SampleRounds = float64(n) }, []int{0, 1}, []int{-1, 2}},
		{"telemetry.sample-requests", func(s *Settings, n int) { s.Telemetry.SampleRequests = float64(n) },
			[]int{0, 1}, []int{-1, 2}},
	} {
		for _, n := range append(test.in, test.out...) {
			s := DefaultSettings()
			test.set(&s, n)
			err := s.Validate()
			var setting *SettingError
			refused := errors.As(err, &setting) && setting.Key == test.key
			if want := !contains(test.in, n); refused != want || (err != nil) != want {
				t.Errorf("%s = %d: %v", test.key, n, err)
			}
		}
	}
}

func contains(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

func TestSecretsAreRedacted(t *testing.T) {
	settings := struct {
		Group struct {
			Token string `key:"token" secret:"true"`
			Name  string `key:"name"`
		} `key:"group"`
		Empty string `key:"empty" secret:"true"`
	}{}
	settings.Group.Token, settings.Group.Name = "canary", "visible"
	want := []SettingText{{"group.token", "(secret)"}, {"group.name", "visible"}, {"empty", ""}}
	if diff := cmp.Diff(want, redactedOf(&settings)); diff != "" {
		t.Error(diff)
	}
	if all := DefaultSettings().Redacted(); len(all) < 25 || all[0].Key != "node.name" {
		t.Errorf("%v", all)
	}
}

func TestSizeText(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1": 1, "1023": 1023, "1KiB": 1024, "1.": -1, "2MiB": 2 << 20, "3GiB": 3 << 30, "7B": 7, " 4 KiB ": 4096, "KiB": -1, "": -1, "1kb": -1} {
		var s Size = -1
		if err := s.UnmarshalText([]byte(text)); (err == nil) != (want >= 0) || s != want {
			t.Errorf("%q: %d, %v", text, s, err)
		}
		if want < 0 {
			continue
		}
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q prints as %q", text, s)
		}
	}
}

func FuzzSettingsFile(f *testing.F) {
	f.Add(DefaultSettings().YAML())
	f.Add("rpc: {address: 'x:1'}\npeers: [{name: a}]\n")
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := LoadSettings(path, nil)
		if err != nil {
			return
		}
		again, err := LoadSettings(writeFile(t, s.YAML()), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.YAML())
		}
		if diff := cmp.Diff(s, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzSize: a size is refused, or is read again as it prints.
func FuzzSize(f *testing.F) {
	for _, text := range []string{"0", "1023", "1KiB", " 4 MiB ", "9007199254740991KiB", "8589934592GiB", "-1", "0x10", "1_0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s || s < 0 {
			t.Errorf("%q is %d, prints as %q, which is %d, %v", text, int64(s), s, int64(again), err)
		}
	})
}
