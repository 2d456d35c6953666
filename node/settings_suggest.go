package node

// didYouMean is a question about the known word nearest to word, or "" when none is near.
func didYouMean(word string, known []string) string {
	near, distance := nearest(word, known)
	if near == "" || distance > max(2, len(word)/3) {
		return ""
	}
	return "; did you mean " + near + "?"
}

// nearest returns the first known word with the fewest edits from word, and their number.
func nearest(word string, known []string) (near string, distance int) {
	for _, candidate := range known {
		if d := edits(word, candidate); near == "" || d < distance {
			near, distance = candidate, d
		}
	}
	return near, distance
}

// edits is the Levenshtein distance: how many bytes must be inserted, removed or changed.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
