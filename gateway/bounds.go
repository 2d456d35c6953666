package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// bounded reads the body of each request, up to a size and within a time, before it is worked on: a slow or endless
// sender occupies nothing but its connection.
func bounded(cfg Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength > cfg.MaxBody {
			w.Header().Set("Connection", "close")
			writeError(w, tooLarge(cfg.MaxBody))
			return
		}
		// The server lifts the deadline when the body has been read. A writer that knows none is one of a test's.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(cfg.BodyTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, cfg.MaxBody))
		var over *http.MaxBytesError
		switch {
		case errors.As(err, &over):
			writeError(w, tooLarge(cfg.MaxBody))
			return
		case err != nil:
			w.Header().Set("Connection", "close")
			writeError(w, malformed("body", incomplete(err)))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func incomplete(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "not sent in time"
	}
	return "cut short"
}

// deadlines gives the client a time to take each piece of the answer, so that one that does not read pins nothing,
// while a stream may last for ever. It also says, for all answers, that they are what their type says, and are not to
// be stored.
func deadlines(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		timed := &timedWriter{ResponseWriter: w, conn: http.NewResponseController(w), limit: limit}
		// Also for what the server writes of its own accord, such as "100 Continue".
		timed.extend()
		next.ServeHTTP(timed, r)
	})
}

// timedWriter sets the connection's write deadline anew before it writes.
type timedWriter struct {
	http.ResponseWriter
	conn  *http.ResponseController
	limit time.Duration
}

func (w *timedWriter) extend() {
	// A writer that knows no deadlines is one of a test's.
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.limit))
}

func (w *timedWriter) WriteHeader(code int) {
	w.extend()
	w.ResponseWriter.WriteHeader(code)
}

func (w *timedWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// Flush sends what is buffered. A failure shows at the next Write.
func (w *timedWriter) Flush() {
	w.extend()
	_ = w.conn.Flush()
}

// Unwrap lets http.ResponseController find the connection.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
