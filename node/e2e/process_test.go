//go:build e2e

package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a cairn process that runs until it is told to end.
type process struct {
	bed    *bed
	name   string
	cmd    *exec.Cmd
	log    string      // path of what it writes to standard error, and to standard output behind the first line
	first  chan string // the first line of standard output; closed without one when there is none
	exited chan struct{}
	told   atomic.Bool // its end is wanted
}

// crashEnv begins the variable that tells a process where to kill itself.
const crashEnv = "CAIRN_CRASH="

// spawn starts a command in a process of its own. An end that it was not told is a failure of the test.
func (b *bed) spawn(name string, env []string, args ...string) *process {
	b.t.Helper()
	return b.spawnCommand(name, env, exec.Command(b.binary, args...))
}

// spawnCommand is spawn of a command that becomes cairn.
func (b *bed) spawnCommand(name string, env []string, cmd *exec.Cmd) *process {
	b.t.Helper()
	p := &process{
		bed: b, name: name, cmd: cmd, log: b.path(name + ".log"),
		first: make(chan string, 1), exited: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), env...)
	p.told.Store(slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, crashEnv) }))
	log, err := os.Create(p.log)
	if err != nil {
		b.t.Fatal(err)
	}
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.processes = append(b.processes, p)
	b.mu.Unlock()
	go p.follow(out, log)
	return p
}

func (p *process) follow(out io.Reader, log *os.File) {
	reader := bufio.NewReader(out)
	if line, err := reader.ReadString('\n'); err == nil {
		p.first <- line
	}
	close(p.first)
	_, _ = io.Copy(log, reader)
	_ = p.cmd.Wait() // its state tells
	if !p.told.Load() {
		p.bed.t.Errorf("%s ended by itself: %v", p.name, p.cmd.ProcessState)
	}
	_ = log.Close()
	close(p.exited)
}

// awaitFirst returns the first line of standard output.
func (p *process) awaitFirst() string {
	p.bed.t.Helper()
	select {
	case line, ok := <-p.first:
		if !ok {
			p.bed.t.Fatalf("%s said nothing on standard output", p.name)
		}
		return line
	case <-time.After(patience):
		p.bed.t.Fatalf("%s said nothing on standard output within %v", p.name, patience)
		return ""
	}
}

// signal sends a signal that the process survives.
func (p *process) signal(s syscall.Signal) {
	p.bed.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.bed.t.Fatalf("%s: %v", p.name, err)
	}
}

// tell sends a signal that ends the process, and does not wait.
func (p *process) tell(s syscall.Signal) {
	p.bed.t.Helper()
	p.told.Store(true)
	p.signal(s)
}

// awaitExit returns the exit code and when it was known; -1 for a process that a signal ended.
func (p *process) awaitExit() int {
	p.bed.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.bed.t.Fatalf("%s has not ended within %v", p.name, patience)
		return 0
	}
}

// exitsWithin waits until the process has ended, or that time has passed.
func (p *process) exitsWithin(d time.Duration) {
	select {
	case <-p.exited:
	case <-time.After(d):
	}
}

// lives is whether the process has not ended.
func (p *process) lives() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.bed.t.Helper()
	p.tell(syscall.SIGKILL)
	p.awaitExit()
}

// interrupt is Ctrl-C; the process must end well.
func (p *process) interrupt() {
	p.bed.t.Helper()
	p.tell(syscall.SIGINT)
	if code := p.awaitExit(); code != 0 {
		p.bed.t.Errorf("%s: exit %d after an interrupt", p.name, code)
	}
}

// end is for the end of the test, whatever became of the process.
func (p *process) end() {
	p.told.Store(true)
	_ = p.cmd.Process.Kill() // also of one that is stopped; it may have ended
	<-p.exited
}

// check looks in the log for what no process may say, also one that was killed afterwards.
func (p *process) check() {
	for _, words := range []string{"panic:", "DATA RACE", "fatal error:"} {
		if strings.Contains(p.output(), words) {
			p.bed.t.Errorf("%s said %q", p.name, words)
		}
	}
}

func (p *process) output() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// tail is the end of the log.
func (p *process) tail() string {
	text := p.output()
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
		text = text[strings.IndexByte(text, '\n')+1:]
	}
	return text
}
