package node

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// field is one setting, as its declaration has it. Everything about a setting derives from this.
type field struct {
	Key     string // "rpc.max-streams"
	Default string // as text; "" where there is none
	Help    string
	Secret  bool   // its value is never printed
	Flag    string // "rpc-max-streams"; "" for what no flag can say
	Env     []string
	Value   reflect.Value // addressable: the field itself
}

// fieldsOf walks a pointer to a struct of settings, in the order of declaration. The tag key names a setting or a group
// of them; a group is a struct. The tags flag and env give a flag another name, and a second environment variable.
func fieldsOf(settings any) []field {
	return appendFields(nil, "", reflect.ValueOf(settings).Elem())
}

func appendFields(fields []field, prefix string, group reflect.Value) []field {
	for i := range group.NumField() {
		tag, value := group.Type().Field(i).Tag, group.Field(i)
		key := tag.Get("key")
		if key == "" {
			panic(fmt.Sprintf("node: setting %s.%s has no key", group.Type(), group.Type().Field(i).Name))
		}
		key = prefix + key
		if value.Kind() == reflect.Struct {
			fields = appendFields(fields, key+".", value)
			continue
		}
		f := field{
			Key: key, Default: tag.Get("default"), Help: tag.Get("help"), Secret: tag.Get("secret") == "true", Value: value,
		}
		if _, list := value.Interface().([]PeerEntry); !list {
			f.Flag = tag.Get("flag")
			if f.Flag == "" {
				f.Flag = strings.ReplaceAll(key, ".", "-")
			}
			f.Env = []string{envName(key)}
			if other := tag.Get("env"); other != "" {
				f.Env = append(f.Env, other)
			}
		}
		fields = append(fields, f)
	}
	return fields
}

// envPrefix begins the environment variable of every setting.
const envPrefix = "CAIRN_"

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// text is the value as it is written in a flag or an environment variable; lists are joined by commas.
func (f field) text() string {
	switch v := f.Value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case []PeerEntry:
		entries := make([]string, len(v))
		for i, p := range v {
			entries[i] = p.Name + "@" + p.Address
		}
		return strings.Join(entries, ",")
	default:
		return fmt.Sprint(v)
	}
}

// redacted is the value for logs.
func (f field) redacted() string {
	if text := f.text(); !f.Secret || text == "" {
		return text
	}
	return "(secret)"
}

// flagValue is what a flag holds: text, checked against the type of its setting when it is given.
type flagValue struct {
	text string
	kind reflect.Type
}

// String implements pflag.Value.
func (v *flagValue) String() string { return v.text }

// Set implements pflag.Value.
func (v *flagValue) Set(text string) error {
	if err := decodeSetting(reflect.New(v.kind).Interface(), text); err != nil {
		return err
	}
	v.text = text
	return nil
}

// Type implements pflag.Value: the word that stands for the value in help texts.
func (v *flagValue) Type() string { return kindName(v.kind) }

func kindName(kind reflect.Type) string {
	switch kind {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[[]string]():
		return "list"
	case reflect.TypeFor[float64]():
		return "number"
	case reflect.TypeFor[[]PeerEntry]():
		return "list of peers"
	}
	return kind.String()
}

// AddSettingFlags adds a flag for each setting that include wants; nil wants all. LoadSettings reads them.
func AddSettingFlags(flags *pflag.FlagSet, include func(key string) bool) {
	var s Settings
	for _, f := range fieldsOf(&s) {
		if f.Flag == "" || (include != nil && !include(f.Key)) {
			continue
		}
		value := &flagValue{text: f.Default, kind: f.Value.Type()}
		flag := flags.VarPF(value, f.Flag, "", f.Help+" ("+f.Env[0]+")")
		if f.Value.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// DefaultSettings are those of a node that was told nothing.
func DefaultSettings() Settings {
	var s Settings
	setDefaults(&s)
	return s
}

func setDefaults(settings any) {
	for _, f := range fieldsOf(settings) {
		if f.Default == "" {
			continue
		}
		if err := decodeSetting(f.Value.Addr().Interface(), f.Default); err != nil {
			panic(fmt.Sprintf("node: default of setting %s: %v", f.Key, err))
		}
	}
}

// SettingText is one setting as text.
type SettingText struct{ Key, Value string }

// Redacted lists all settings for the start-up log, without secrets.
func (s Settings) Redacted() []SettingText { return redactedOf(&s) }

func redactedOf(settings any) []SettingText {
	fields := fieldsOf(settings)
	out := make([]SettingText, len(fields))
	for i, f := range fields {
		out[i] = SettingText{f.Key, f.redacted()}
	}
	return out
}

// SettingsTable is the documentation of all settings, as a table in Markdown.
func SettingsTable() string {
	s := DefaultSettings()
	var b strings.Builder
	b.WriteString("| key | type | default | flag | environment | meaning |\n|---|---|---|---|---|---|\n")
	for _, f := range fieldsOf(&s) {
		flag, env := "", strings.Join(f.Env, ", ")
		if f.Flag != "" {
			flag = "`--" + f.Flag + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", f.Key, kindName(f.Value.Type()), f.Default, flag, env, f.Help)
	}
	return b.String()
}
