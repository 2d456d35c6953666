package node

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cairnchain/cairn/node/peer"
	"github.com/cairnchain/cairn/storage"
)

// ErrFewFiles says that this process may not open enough files for a node.
var ErrFewFiles = errors.New("too few file descriptors")

const (
	// maxConnections is how many connections each public listener serves at once at most; further ones wait to be
	// accepted. Idle ones must not use up the file descriptors that the database and the other validators need.
	maxConnections = 2048
	// minConnections is the least that a public listener is worth opening for.
	minConnections = 32
	// publicListeners is how many listeners have that limit: gRPC, REST, metrics. The gateway's own connection is one of gRPC's.
	publicListeners = 3
	// otherFiles is what a node opens beside tables and connections: journals, manifest, safety record, lock, listeners, log,
	// the runtime's own, the connections of exporters, and room for files that live for a moment.
	otherFiles = 64
)

// fileBudget is how the file descriptors of a node are shared out. What the public API may use is limited, so that it
// runs out first: its connections wait to be accepted while the database and the validator network have theirs.
type fileBudget struct {
	connections int // of each public listener
}

// reservedFiles is what the node needs for itself, connected with this many validators.
func reservedFiles(validators int) int {
	return storage.OpenTables + otherFiles + peer.MaxConnections(validators)
}

// shareFiles shares out limit file descriptors.
func shareFiles(limit uint64, validators int) (fileBudget, error) {
	reserved := uint64(reservedFiles(validators))
	if least := reserved + publicListeners*minConnections; limit < least {
		return fileBudget{}, fmt.Errorf("%w: this process may open %d files and needs at least %d; raise the limit by ulimit -n %d, "+
			"or by LimitNOFILE=%d in its systemd unit", ErrFewFiles, limit, least, 2*least, 2*least)
	}
	return fileBudget{connections: int(min((limit-reserved)/publicListeners, maxConnections))}, nil
}

// countFiles raises the process's limit on files as far as it may, and shares them out.
func (n *Node) countFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if limit.Cur < limit.Max {
		raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err == nil { // else what there is must do
			limit = raised
		}
	}
	var err error
	n.files, err = shareFiles(limit.Cur, n.genesis.Validators.Len()-1)
	return err
}
