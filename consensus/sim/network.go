package sim

import "time"

// network is one link for each ordered pair of validators.
type network struct {
	w     *world
	links [][]link // from, to
}

// link is one direction between two validators.
type link struct {
	knobs   linkKnobs
	cuts    int           // partitions that cut it
	clogged time.Duration // what is sent before this instant arrives after it
	last    time.Duration // when the newest message arrives, for links that keep order
}

func newNetwork(w *world, n int) *network {
	net := &network{w: w, links: make([][]link, n)}
	for i := range net.links {
		net.links[i] = make([]link, n)
		for j := range n {
			net.links[i][j].knobs = w.knobs.link
			if w.knobs.uneven {
				net.links[i][j].knobs = w.drawLink()
			}
		}
	}
	return net
}

// send delivers, later, perhaps never, perhaps twice.
func (n *network) send(from, to int, what string, deliver func()) {
	w, l := n.w, &n.links[from][to]
	k := l.knobs
	if l.cuts > 0 {
		w.reach("cut off")
		return
	}
	if w.chance(k.loss) {
		w.reach("lost")
		w.trace.line(w.now, from, "lost", what, " to v", to)
		return
	}
	copies := 1
	if w.chance(k.twice) {
		w.reach("duplicated")
		copies = 2
	}
	for range copies {
		at := n.arrival(l)
		if at < l.last {
			w.reach("overtaken")
		}
		l.last = max(l.last, at)
		w.queue.push(at, deliver)
	}
}

func (n *network) arrival(l *link) time.Duration {
	w, k := n.w, l.knobs
	at := w.now + k.delay + w.between(0, k.jitter)
	if w.chance(k.slow) {
		at += w.between(0, 10*k.jitter)
	}
	if l.clogged > w.now {
		w.reach("clogged")
		at = max(at, l.clogged+w.between(0, k.jitter))
	}
	if k.ordered {
		at = max(at, l.last)
	}
	return at
}

// open reports whether both directions are.
func (n *network) open(a, b int) bool { return n.links[a][b].cuts == 0 && n.links[b][a].cuts == 0 }

// cut separates the pairs for which apart holds, until the returned function is called.
func (n *network) cut(apart func(from, to int) bool) (mend func()) {
	change := func(by int) {
		for from := range n.links {
			for to := range n.links {
				if from != to && apart(from, to) {
					n.links[from][to].cuts += by
				}
			}
		}
	}
	change(1)
	return func() {
		change(-1)
		n.reconnect()
	}
}

// reconnect tells both ends of every open link that messages get through from now on.
func (n *network) reconnect() {
	for a := range n.links {
		for b := range a {
			if n.open(a, b) {
				n.w.validators[a].meet(n.w.validators[b])
			}
		}
	}
}

// heal makes every link fast and reliable, and opens it.
func (n *network) heal() {
	for _, row := range n.links {
		for to := range row {
			l := &row[to]
			l.cuts, l.clogged = 0, 0
			l.knobs.loss, l.knobs.twice, l.knobs.slow = 0, 0, 0
		}
	}
	n.reconnect()
}
