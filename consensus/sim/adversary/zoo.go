package adversary

// Zoo returns every adversary by its name, as traces and counters call it. Each call makes new ones.
func Zoo() map[string]func() Adversary {
	return map[string]func() Adversary{
		"equivocator": func() Adversary { return &Equivocator{} },
		"silent":      func() Adversary { return &Silent{} },
	}
}
