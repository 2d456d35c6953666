package node

import (
	"fmt"
	"strconv"
	"strings"
)

// YAML is a settings file with every setting: those that differ from their defaults as they are, the others as
// comments. LoadSettings reads it back to equal Settings.
func (s Settings) YAML() string {
	var b strings.Builder
	b.WriteString("# Settings of a Cairn node. A flag or an environment variable prevails over what stands here.\n")
	group := ""
	for _, f := range fieldsOf(&s) {
		head, name, nested := strings.Cut(f.Key, ".")
		if !nested {
			fmt.Fprintf(&b, "\n# %s\n%s", f.Help, yamlPeers(f.Key, f.Value.Interface().([]PeerEntry)))
			group = ""
			continue
		}
		if head != group {
			fmt.Fprintf(&b, "\n%s:\n", head)
			group = head
		}
		mark := ""
		if f.isDefault() {
			mark = "# "
		}
		fmt.Fprintf(&b, "  # %s\n  %s%s: %s\n", f.Help, mark, name, f.yaml())
	}
	return b.String()
}

// isDefault reports whether the field has the value that it has without being set.
func (f field) isDefault() bool {
	defaults := DefaultSettings()
	for _, d := range fieldsOf(&defaults) {
		if d.Key == f.Key {
			return d.text() == f.text()
		}
	}
	return false
}

// yaml is the value in YAML. Text is quoted as JSON, which YAML includes.
func (f field) yaml() string {
	switch v := f.Value.Interface().(type) {
	case string:
		return strconv.QuoteToASCII(v)
	case []string:
		quoted := make([]string, len(v))
		for i, entry := range v {
			quoted[i] = strconv.QuoteToASCII(entry)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	default:
		return f.text()
	}
}

func yamlPeers(key string, peers []PeerEntry) string {
	if len(peers) == 0 {
		return key + ": []\n"
	}
	var b strings.Builder
	b.WriteString(key + ":\n")
	for _, p := range peers {
		fmt.Fprintf(&b, "  - name: %s\n    public-key: %s\n    address: %s\n", strconv.QuoteToASCII(p.Name),
			strconv.QuoteToASCII(p.PublicKey), strconv.QuoteToASCII(p.Address))
	}
	return b.String()
}
