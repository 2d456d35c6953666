package node

import "runtime/debug"

// Build says what this program was built from.
type Build struct {
	Version string `json:"version"` // of the module: "v1.2.3", or "devel" for a build of a working tree
	Commit  string `json:"commit"`  // of the source, "-dirty" behind it when that was changed; empty: not known
	Go      string `json:"go"`      // the toolchain
}

// ThisBuild reads what the toolchain wrote into the program.
func ThisBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Build{Version: "devel"}
	}
	b := Build{Version: info.Main.Version, Go: info.GoVersion}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			b.Commit = setting.Value + b.Commit
		case setting.Key == "vcs.modified" && setting.Value == "true":
			b.Commit += "-dirty"
		}
	}
	return b
}
