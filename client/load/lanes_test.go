package load

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairnchain/cairn/client"
)

// Where order counts an account stays at its place while that has room in time; else, and where order does not count,
// another place will do.
func TestTakeRoom(t *testing.T) {
	full := func() []chan struct{} {
		rooms := []chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
		rooms[0] <- struct{}{}
		return rooms
	}
	for _, test := range []struct {
		name      string
		submitter submitter
		freed     time.Duration
		at        int
		after     time.Duration
	}{
		{"in order, in time", lanes{}, roomPatience - 1, 0, roomPatience - 1},
		{"in order, too late", lanes{}, roomPatience + 1, 1, roomPatience},
		{"in any order", singly{}, roomPatience, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, start := &run{submitter: test.submitter, room: full(), tracker: newTracker(nil)}, time.Now()
			timer := time.AfterFunc(test.freed, func() { <-r.room[0] })
			defer timer.Stop()
			if at := r.takeRoom(0); at != test.at || time.Since(start) != test.after {
				t.Errorf("%s: place %d after %v", test.name, at, time.Since(start))
			}
		})
	}
}

// What waits for a node that is away is refused together: it goes elsewhere at once, not one by one.
func TestStreamToNobody(t *testing.T) {
	node, err := client.Dial("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Close() }()
	queue := make(chan *transfer, client.MaxSubmissions+1)
	for range cap(queue) {
		queue <- &transfer{}
	}
	close(queue)
	var answered []int
	streamLane(lane{node, time.Minute, queue, func(all []answer) { answered = append(answered, len(all)) }})
	if want := []int{client.MaxSubmissions, 1}; fmt.Sprint(answered) != fmt.Sprint(want) {
		t.Errorf("refused in pieces of %v, want %v", answered, want)
	}
}
