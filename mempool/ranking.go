package mempool

// ranking is a binary heap that can find, move and remove its items: the least is at 0. place points to where an item
// keeps its position plus one (0: not in the ranking); without it items can only be pushed and removed by position.
type ranking[T any] struct {
	items []T
	less  func(a, b T) bool
	place func(T) *int
}

// set puts x where it belongs, in or out, also after what less compares has changed for x (for one item at a time).
func (r *ranking[T]) set(x T, in bool) {
	at := *r.place(x) - 1
	switch {
	case in && at < 0:
		r.push(x)
	case in:
		r.fix(at)
	case at >= 0:
		r.removeAt(at)
	}
}

func (r *ranking[T]) push(x T) {
	r.items = append(r.items, x)
	r.put(len(r.items)-1, x)
	r.up(len(r.items) - 1)
}

func (r *ranking[T]) removeAt(i int) {
	last := len(r.items) - 1
	if r.place != nil {
		*r.place(r.items[i]) = 0
	}
	moved := r.items[last]
	var none T
	r.items[last] = none
	r.items = r.items[:last]
	if i < last {
		r.put(i, moved)
		r.fix(i)
	}
}

func (r *ranking[T]) fix(i int) {
	if !r.up(i) {
		r.down(i)
	}
}

func (r *ranking[T]) put(i int, x T) {
	r.items[i] = x
	if r.place != nil {
		*r.place(x) = i + 1
	}
}

func (r *ranking[T]) swap(i, j int) {
	x, y := r.items[i], r.items[j]
	r.put(i, y)
	r.put(j, x)
}

func (r *ranking[T]) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !r.less(r.items[i], r.items[parent]) {
			break
		}
		r.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (r *ranking[T]) down(i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(r.items) && r.less(r.items[child], r.items[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		r.swap(i, least)
		i = least
	}
}

// walk visits accounts of a ranking in its order, and transactions pushed on the way, without changing it: a node of
// the heap is visited before its children, so as many nodes are touched as are visited.
type walk struct {
	over  *ranking[*account]
	entry func(*account) *entry // the one that stands for the account in the ranking
	spots ranking[spot]
	given bool // the least of spots was returned, and the next one pushed takes its place
}

// spot is a transaction on the way, with its account's position in the ranking when it stands for it, else -1.
type spot struct {
	e    *entry
	node int
}

func newWalk(over *ranking[*account], entry func(*account) *entry, less func(a, b *entry) bool) *walk {
	w := &walk{over: over, entry: entry}
	w.spots.less = func(a, b spot) bool { return less(a.e, b.e) }
	w.visit(0)
	return w
}

func (w *walk) visit(node int) {
	if node < len(w.over.items) {
		w.add(spot{w.entry(w.over.items[node]), node})
	}
}

// push adds a transaction to come in its turn; nil adds nothing.
func (w *walk) push(e *entry) {
	if e != nil {
		w.add(spot{e, -1})
	}
}

func (w *walk) add(s spot) {
	if !w.given {
		w.spots.push(s)
		return
	}
	w.given = false
	w.spots.items[0] = s
	w.spots.down(0)
}

// next returns the first that is left; first says that it stands for its account in the ranking.
func (w *walk) next() (e *entry, first, ok bool) {
	if w.given {
		w.given = false
		w.spots.removeAt(0)
	}
	if len(w.spots.items) == 0 {
		return nil, false, false
	}
	s := w.spots.items[0]
	w.given = true
	if s.node >= 0 {
		w.visit(2*s.node + 1)
		w.visit(2*s.node + 2)
	}
	return s.e, s.node >= 0, true
}
