package adversary

// Zoo returns every adversary by its name, as traces and counters call it. Each call makes new ones.
func Zoo() map[string]func() Adversary {
	return map[string]func() Adversary{
		"censor":       func() Adversary { return &Censor{} },
		"dawdler":      func() Adversary { return &Dawdler{} },
		"double voter": func() Adversary { return &DoubleVoter{} },
		"equivocator":  func() Adversary { return &Equivocator{} },
		"flooder":      func() Adversary { return &Flooder{} },
		"forger":       func() Adversary { return &Forger{} },
		"fork spammer": func() Adversary { return &ForkSpammer{} },
		"forker":       func() Adversary { return &Forker{} },
		"framer":       func() Adversary { return &Framer{} },
		"hoarder":      func() Adversary { return &Hoarder{} },
		"inventor":     func() Adversary { return &Inventor{} },
		"jailer":       func() Adversary { return &Jailer{} },
		"liar":         func() Adversary { return &Liar{} },
		"miser":        func() Adversary { return &Miser{} },
		"mutator":      func() Adversary { return &Mutator{} },
		"nullifier":    func() Adversary { return &Nullifier{} },
		"phantom":      func() Adversary { return &Phantom{} },
		"poisoner":     func() Adversary { return &Poisoner{} },
		"replayer":     func() Adversary { return &Replayer{} },
		"silent":       func() Adversary { return &Silent{} },
		"time pusher":  func() Adversary { return &TimePusher{} },
		"withholder":   func() Adversary { return &Withholder{} },
	}
}
