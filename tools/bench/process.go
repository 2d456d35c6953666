package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child. Ctrl-C does not reach it but through us: it is in a group of its own.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended

	mu     sync.Mutex
	killed bool
}

// spawn starts a child and closes log, where its errors go, when it has ended.
func spawn(name string, cmd *exec.Cmd, log *os.File) (*process, error) {
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() {
		_ = cmd.Wait()  // its state tells
		_ = log.Close() // for people
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill is kill -9, and waits for the end. Idempotent.
func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// fell says that the process ended without being told to.
func (p *process) fell() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return nil
	}
	return fmt.Errorf("%s ended by itself (%v): %s", p.name, p.cmd.ProcessState, tail(p.log.Name()))
}

// stop ends the process by an interrupt, or when that takes long, by a kill.
func (p *process) stop() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		p.kill()
	}
}

const stopPatience = 10 * time.Second

// tail is the end of a log, for an error.
func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 1000
	return strings.TrimSpace(string(raw[max(0, len(raw)-most):]))
}

// output runs a command to its end and returns what it wrote; an error holds what it wrote to standard error.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(errOut.String()))
	}
	return out.Bytes(), nil
}

// cairn returns the program to measure, and what removes it.
func (s settings) cairn(ctx context.Context) (string, func(), error) {
	if s.binary != "" {
		path, err := filepath.Abs(s.binary)
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp(s.dir, "cairn-bench-bin-")
	if err != nil {
		return "", nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) }
	bin := filepath.Join(dir, "cairn")
	if _, err := output(ctx, "go", "build", "-C", s.root, "-o", bin, "./cmd/cairn"); err != nil {
		clean()
		return "", nil, err
	}
	return bin, clean, nil
}

// commitOf is the commit of the tree, with a plus when something in it is not committed; empty when git does not know.
func commitOf(ctx context.Context, root string) string {
	id, err := output(ctx, "git", "-C", root, "rev-parse", "--short", "HEAD")
	if err != nil {
		return ""
	}
	commit := strings.TrimSpace(string(id))
	if status, err := output(ctx, "git", "-C", root, "status", "--porcelain", "--untracked-files=no"); err == nil && len(status) > 0 {
		commit += "+"
	}
	return commit
}

// lines calls each for the lines of r, until it ends.
func lines(r io.Reader, each func(string)) {
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		each(scanner.Text())
	}
}
