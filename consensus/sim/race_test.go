//go:build race

package sim_test

// crashesApart: the race detector makes runs ten times as long, and none of them has more than one thread.
const crashesApart = 16
