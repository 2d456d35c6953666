package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// SettingError is a setting that cannot be used: unknown, not of its type, or out of its range.
type SettingError struct {
	Key     string // of the setting, "" when the file as a whole cannot be read
	Message string
}

// Error names the key.
func (e *SettingError) Error() string {
	if e.Key == "" {
		return "settings: " + e.Message
	}
	return "setting " + e.Key + ": " + e.Message
}

// LoadSettings reads settings, each from the first place that has it: a flag that was given (of those that
// AddSettingFlags added; nil: no flags), the environment, the YAML file (path "": no file; a file that does not exist
// is an error), the default. The result is validated. Errors are *SettingError, joined when there are several.
func LoadSettings(path string, flags *pflag.FlagSet) (Settings, error) {
	s := DefaultSettings()
	v, err := readSettings(path)
	if err != nil {
		return Settings{}, err
	}
	if err := s.fill(v, flags); err != nil {
		return Settings{}, err
	}
	if err := s.Validate(); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// fill sets what v, the environment and the flags have. Each setting is decoded by itself, so that an error can name
// its key.
func (s *Settings) fill(v *viper.Viper, flags *pflag.FlagSet) error {
	fields := fieldsOf(s)
	failures := []error{unknownKeys(v, fields), unknownVariables(os.Environ(), fields)}
	for _, f := range fields {
		err := bind(v, f, flags)
		if err == nil && v.IsSet(f.Key) {
			err = decodeSetting(f.Value.Addr().Interface(), v.Get(f.Key))
		}
		if err != nil {
			failures = append(failures, &SettingError{f.Key, err.Error()})
		}
	}
	return errors.Join(failures...)
}

// bind tells viper where else than in the file a setting may stand.
func bind(v *viper.Viper, f field, flags *pflag.FlagSet) error {
	if len(f.Env) != 0 {
		if err := v.BindEnv(append([]string{f.Key}, f.Env...)...); err != nil {
			return err
		}
	}
	if flags == nil || f.Flag == "" {
		return nil
	}
	flag := flags.Lookup(f.Flag)
	if flag == nil || !flag.Changed {
		return nil
	}
	// A command may have another flag of that name.
	if own, ok := flag.Value.(*flagValue); ok {
		v.Set(f.Key, own.text)
	}
	return nil
}

func readSettings(path string) (*viper.Viper, error) {
	v := viper.New()
	if path == "" {
		return v, nil
	}
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	err := v.ReadInConfig()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &SettingError{"", fmt.Sprintf("the file %s does not exist", path)}
	}
	if err != nil {
		return nil, &SettingError{"", fmt.Sprintf("the file %s cannot be read: %v", path, err)}
	}
	return v, nil
}

// unknownKeys refuses keys of the file that no setting has.
func unknownKeys(v *viper.Viper, fields []field) error {
	found := v.AllKeys()
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.Key
	}
	slices.Sort(found)
	var failures []error
	for _, key := range found {
		switch {
		case slices.Contains(known, key):
		case slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+".") }):
			if v.Get(key) != nil { // a group in which all is commented out is empty
				failures = append(failures, &SettingError{key, "is a group of settings, not a value"})
			}
		case slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(key, k+".") }):
			failures = append(failures, &SettingError{key, "is below a setting that is a single value"})
		default:
			failures = append(failures, &SettingError{key, "there is no such setting" + didYouMean(key, known)})
		}
	}
	return errors.Join(failures...)
}

// maxTypo is how many edits away from a setting's variable an environment variable counts as a slip. Others are left
// alone: schedulers put variables of their own into the environment, such as CAIRN_SERVICE_HOST.
const maxTypo = 2

// unknownVariables refuses environment variables that are all but one of ours.
func unknownVariables(environ []string, fields []field) error {
	var known []string
	for _, f := range fields {
		known = append(known, f.Env...)
	}
	var failures []error
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) {
			continue
		}
		if near, distance := nearest(name, known); distance <= maxTypo {
			failures = append(failures, &SettingError{name, "there is no such environment variable; did you mean " + near + "?"})
		}
	}
	return errors.Join(failures...)
}
