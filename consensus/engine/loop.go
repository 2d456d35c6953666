package engine

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const inboxSize = 1024 // tasks from outside that wait for the loop; whoever brings more waits

type work = func(context.Context) Task

// Loop runs an engine on goroutines and the machine's clock, and is that engine's Async. Make it, then the engine, then
// Run it.
type Loop struct {
	inbox chan Task
	wake  chan struct{} // holds a token when answers is not empty

	mu      sync.Mutex
	answers []Task // of our own asynchronous work: as many as the core asked for, so not bounded again
	early   []work // asked for before Run
	run     func(work)
	held    chan struct{} // closed by Release; nil: not held
}

// NewLoop returns a Loop without an engine; it starts nothing.
func NewLoop() *Loop {
	return &Loop{
		inbox: make(chan Task, inboxSize),
		wake:  make(chan struct{}, 1),
	}
}

// Post hands a task to the loop; it waits while the inbox is full. The error is ctx's.
func (l *Loop) Post(ctx context.Context, t Task) error {
	select {
	case l.inbox <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Go is part of Async.
func (l *Loop) Go(w func(context.Context) Task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run == nil {
		l.early = append(l.early, w)
		return
	}
	l.run(w)
}

// Hold has the loop do nothing, its timer included, from the end of the tasks that it has taken until Release. So nothing
// is signed or saved, but for commits that were decided before. What peers send and our own work answers waits; whoever brings more
// than the inbox holds waits too. Safe for concurrent use, before Run as well; idempotent.
func (l *Loop) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(chan struct{})
		l.nudge()
	}
}

// Release ends what Hold began. Safe for concurrent use; idempotent.
func (l *Loop) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}

// awaitRelease reports whether the loop was held. It returns when it is not any more, or when ctx ends.
func (l *Loop) awaitRelease(ctx context.Context) bool {
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if held == nil {
		return false
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
	return true
}

// nudge has a loop that sleeps look again.
func (l *Loop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Loop) answer(t Task) {
	l.mu.Lock()
	l.answers = append(l.answers, t)
	l.mu.Unlock()
	l.nudge()
}

func (l *Loop) takeAnswers() []Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.answers
	l.answers = nil
	return taken
}

// Run drives the engine until ctx ends, then returns nil, or until a fatal error, which it returns. All goroutines it
// started have ended then.
func (l *Loop) Run(ctx context.Context, e *Engine) error {
	group, ctx := errgroup.WithContext(ctx)
	l.mu.Lock()
	l.run = func(w work) {
		group.Go(func() error {
			if t := w(ctx); t != nil && ctx.Err() == nil {
				l.answer(t)
			}
			return nil
		})
	}
	for _, w := range l.early {
		l.run(w)
	}
	l.early = nil
	l.mu.Unlock()

	group.Go(func() error { return l.loop(ctx, e) })
	return group.Wait()
}

// loop runs tasks one at a time. The armed timer is looked at first, so that no flood of messages can hold it up; then
// come the answers to our own work; then what peers send.
func (l *Loop) loop(ctx context.Context, e *Engine) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if l.awaitRelease(ctx) {
			continue
		}
		if due := e.Armed(); !due.IsZero() && !e.env.Clock.Now().Before(due) {
			if err := TimerFired(e); err != nil {
				return err
			}
			continue
		}
		if answers := l.takeAnswers(); len(answers) > 0 {
			for _, t := range answers {
				if err := t(e); err != nil {
					return err
				}
			}
			continue
		}
		if err := l.wait(ctx, e, timer); err != nil {
			return err
		}
	}
	return nil
}

// wait sleeps until there is something to do, and does it when it came from outside.
func (l *Loop) wait(ctx context.Context, e *Engine, timer *time.Timer) error {
	sleep := time.Hour
	if due := e.Armed(); !due.IsZero() {
		sleep = due.Sub(e.env.Clock.Now())
	}
	timer.Reset(sleep)
	select {
	case t := <-l.inbox:
		return t(e)
	case <-e.newWork(e.Status().Waiting):
		return LookForWork(e)
	case <-l.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}
