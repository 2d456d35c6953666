package engine

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/consensus/core"
)

// Read is what an execution got for a key from the state before its block; a nil Value: there was none.
type Read struct{ Key, Value []byte }

// Execution is all that the outcome of a block follows from, apart from the application itself.
type Execution struct {
	Block  *consensus.Block
	Parent consensus.BlockInfo
	// Reads are the keys that the execution read, in the order of the first time, found by executing once more.
	Reads []Read
	// Truncated: there were more of them than MaxReadBytes.
	Truncated bool
}

// ExecutionFailure is a fatal error: the application could not execute a block on this node, and did not call it invalid.
type ExecutionFailure struct {
	Execution
	Err   error  // of the application, or what it panicked with
	Stack []byte // of a panic
	Again error  // of the second time, in which the reads were recorded; nil: it succeeded
}

// Error says which block it is and what the application said.
func (f *ExecutionFailure) Error() string {
	return fmt.Sprintf("execution of block %v (height %d) failed on this node: %v", f.Block, f.Block.Height, f.Err)
}

// Unwrap returns the application's error.
func (f *ExecutionFailure) Unwrap() error { return f.Err }

// DivergedExecution is a fatal error: a *core.Divergence together with what our outcome of the block follows from.
type DivergedExecution struct {
	*core.Divergence
	Execution Execution
}

// Unwrap returns the core's error.
func (d *DivergedExecution) Unwrap() error { return d.Divergence }

// PanicError is what an application panicked with.
type PanicError struct {
	Value any
	Stack []byte
}

// Error repeats the value.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Run executes a block on a state. A panic of the application becomes a *PanicError: whoever calls must end with it, for
// the block cannot be executed here.
func Run(a app.App, state app.State, block *consensus.Block) (result app.Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return a.Execute(state, app.BlockOf(block))
}

// Failure is what an execution that failed with err ends the node with; the rest is from Examine.
func Failure(err error, execution Execution, again error) *ExecutionFailure {
	f := &ExecutionFailure{Execution: execution, Err: err, Again: again}
	if p := (*PanicError)(nil); errors.As(err, &p) {
		f.Stack = p.Stack
	}
	return f
}

// Examine executes a block once more to find what it reads of the state after its parent. The error is the application's.
func Examine(a app.App, state app.State, parent consensus.BlockInfo, block *consensus.Block) (Execution, error) {
	r := &recorder{state: state, known: map[string]bool{}}
	_, err := Run(a, r, block)
	return Execution{Block: block, Parent: parent, Reads: r.reads, Truncated: r.truncated}, err
}

// explain adds to a divergence what our outcome follows from, as far as the state before the block is still here.
func (e *Engine) explain(halt error) error {
	d := (*core.Divergence)(nil)
	if !errors.As(halt, &d) || d.Block == nil {
		return halt
	}
	parent := e.outcomes[d.Block.Parent]
	if parent == nil {
		return &DivergedExecution{Divergence: d, Execution: Execution{Block: d.Block}}
	}
	execution, _ := Examine(e.env.App, e.stateAfter(parent), parent.info, d.Block)
	return &DivergedExecution{Divergence: d, Execution: execution}
}

// MaxReadBytes is how much of keys and values of a failed execution is kept; what it reads beyond that is left out.
const MaxReadBytes = 64 << 20

// recorder is a state that remembers what was read. Safe for concurrent use.
type recorder struct {
	state app.State

	mu        sync.Mutex
	known     map[string]bool
	reads     []Read
	bytes     int
	truncated bool
}

// Get is part of app.State.
func (r *recorder) Get(key []byte) ([]byte, error) {
	value, err := r.state.Get(key)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	size := len(key) + len(value)
	switch {
	case r.known[string(key)]:
	case r.bytes+size > MaxReadBytes:
		r.truncated = true
	default:
		r.known[string(key)] = true
		r.bytes += size
		r.reads = append(r.reads, Read{Key: append([]byte{}, key...), Value: value})
	}
	return value, nil
}
