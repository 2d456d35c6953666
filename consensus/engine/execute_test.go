package engine_test

import (
	"errors"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus"
)

// tornApp is a counter that can be made to find what it never wrote.
type tornApp struct {
	counter.Counter
	change func(app.Result) (app.Result, error) // nil: as it is
}

func (a *tornApp) Execute(s app.State, b app.Block) (app.Result, error) {
	result, err := a.Counter.Execute(s, b)
	if err == nil && a.change != nil {
		return a.change(result)
	}
	return result, err
}

// TestSecondAnswerIsDropped: a block that left the tree while it was executed, and came back, is executed twice. When the
// second answer comes the first one may be committed already, so that the second read half of what the block itself wrote:
// whatever it says, neither does the node stop nor are later blocks built on it.
func TestSecondAnswerIsDropped(t *testing.T) { underBothRules(t, secondAnswerIsDropped) }

func secondAnswerIsDropped(t *testing.T, rule consensus.CommitRule) {
	for name, change := range map[string]func(app.Result) (app.Result, error){
		"it fails": func(app.Result) (app.Result, error) { return app.Result{}, errors.New("torn") },
		"another outcome": func(r app.Result) (app.Result, error) {
			r.Changes = append(r.Changes, app.Change{Key: []byte("z"), Value: make([]byte, 8)})
			return r, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rule, 4)
			m := w.members[1]
			m.crash()
			torn := &tornApp{}
			m.app = torn
			m.start()
			w.submit(counter.Tx("a", 0))
			var top *consensus.Block
			w.run("a block on the root is executed", func() bool {
				blocks, err := m.store.Uncommitted()
				must(t, err)
				for _, b := range blocks {
					if b.Parent == m.engine.Status().Root.ID && m.engine.Status().HighQC.Block().ID == b.ID() {
						top = b
						return true
					}
				}
				return false
			})
			before := len(w.queue)
			m.engine.Execute(top)
			work := w.queue[before]
			w.queue = w.queue[:before]
			torn.change = change
			must(t, work())
			torn.change = nil
			answer := w.queue[len(w.queue)-1]
			w.queue = w.queue[:len(w.queue)-1]
			must(t, answer())
			for i := range uint64(3) {
				if i > 0 {
					w.submit(counter.Tx("a", i))
				}
				w.run("commit", w.everyLiving("a", i+1))
			}
			w.checkAgreement()
		})
	}
}
