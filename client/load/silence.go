package load

import "time"

// silentRest is for how long nothing is submitted at a place that did not answer, while another one does.
const silentRest = 30 * time.Second

// leave sends an account elsewhere whose transfer was not answered, once for all that it had there.
func (t *tracker) leave(s *transfer, now time.Time, places int) {
	t.silent[s.postedAt] = now.Add(silentRest)
	if s.from.place != s.postedAt {
		return
	}
	s.from.place = (s.postedAt + 1) % places
	for i := 1; i < places; i++ {
		if at := (s.postedAt + i) % places; !t.isSilent(at, now) {
			s.from.place = at
			return
		}
	}
}

// isSilent is for callers that hold the lock.
func (t *tracker) isSilent(place int, now time.Time) bool { return now.Before(t.silent[place]) }

// speaks reports whether a place has answered lately, or may again.
func (t *tracker) speaks(place int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.isSilent(place, time.Now())
}
