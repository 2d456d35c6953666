//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The JSON of the API, as docs/API.md describes it: what these tests read of it.

type block struct {
	ID           string
	Height       uint64 `json:",string"`
	Round        uint64 `json:",string"`
	ParentID     string
	StateRoot    string
	HistoryRoot  string
	Proposer     string
	Transactions []committed
}

type committed struct {
	ID      string
	State   string
	Decoded struct {
		Sender   string
		Sequence uint64 `json:",string"`
		Fee      uint64 `json:",string"`
		Transfer struct {
			Outputs []struct {
				To     string
				Amount uint64 `json:",string"`
			}
		}
	}
	Receipt receipt
}

type receipt struct {
	Code    string
	Height  uint64 `json:",string"`
	Index   int
	BlockID string
}

type account struct {
	Address  string
	Balance  uint64 `json:",string"`
	Sequence uint64 `json:",string"`
	Height   uint64 `json:",string"`
}

type nodeStatus struct {
	Height        uint64 `json:",string"`
	Round         uint64 `json:",string"`
	Ready         bool
	Reasons       []string
	MissingVoters []string
}

type syncStatus struct {
	Synced        bool
	CurrentHeight uint64 `json:",string"`
}

// submitted is an answer to a post: of success, or an error with its reason.
type submitted struct {
	ID      string
	State   string
	Receipt receipt
	refusal
}

// refusal is what an error says.
type refusal struct {
	Message string
	Details []struct{ Reason string }
}

func (r refusal) reason() string {
	for _, d := range r.Details {
		if d.Reason != "" {
			return d.Reason
		}
	}
	return ""
}

// requestTimeout is longer than any wait that the tests ask a node for.
const requestTimeout = 20 * time.Second

// call makes one request on a connection of its own, so that the fate of one does not become another's. An error means
// that there was no answer.
func call(ctx context.Context, url string, body []byte, into any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return 0, fmt.Errorf("%s: %d: %w: %s", url, answer.StatusCode, err, raw)
	}
	return answer.StatusCode, nil
}

// get reads what must be there.
func (b *bed) get(base, path string, into any) {
	b.t.Helper()
	if status, err := call(b.t.Context(), base+path, nil, into); err != nil || status != http.StatusOK {
		b.t.Fatalf("GET %s%s: %d, %v, %+v", base, path, status, err, into)
	}
}

// readiness is /readyz. A node that does not answer is not ready.
func readiness(ctx context.Context, base string) (status int, ready bool, reasons []string) {
	var r struct {
		Ready   bool
		Reasons []string
	}
	status, err := call(ctx, base+"/readyz", nil, &r)
	if err != nil {
		return 0, false, []string{err.Error()}
	}
	return status, r.Ready, r.Reasons
}
