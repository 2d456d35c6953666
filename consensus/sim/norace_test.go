//go:build !race

package sim_test

// crashesApart is the step from one case of the crash sweep to the next: all of them.
const crashesApart = 1
