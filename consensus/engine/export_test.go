package engine

// HasNewWork reports whether the loop would look into the pool now.
func HasNewWork(e *Engine) bool { return isClosed(e.newWork(e.Status().Waiting)) }

// LookForWork is the Task for that.
func LookForWork(e *Engine) error { return e.settle() }
