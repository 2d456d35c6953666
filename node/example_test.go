package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cairnchain/cairn/app/counter"
	"github.com/cairnchain/cairn/consensus/core"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/keys"
)

// A program can embed a validator, with an application of its own in place of the ledger. This one is alone on its
// chain, counts to three, and hears of every commit.
func Example() {
	dir, err := os.MkdirTemp("", "cairn")
	check(err)
	defer func() { check(os.RemoveAll(dir)) }()
	key, err := keys.NewValidator()
	check(err)
	settings := node.DefaultSettings()
	settings.RPC.Address, settings.REST.Address, settings.Peer.Address = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	settings.Metrics.Address = "" // nowhere
	home, err := node.InitHome(filepath.Join(dir, "home"), node.HomeOptions{
		Key: key, Settings: settings,
		Genesis: &node.GenesisDocument{
			ChainID: "example", CommitRule: "two_chain", ContiguousRounds: 2, Election: "reputation",
			Timestamp:  time.Now().Truncate(time.Millisecond),
			Validators: []node.GenesisValidator{{Name: "alone", PublicKey: key.Public().String(), Power: 1}},
			App:        []byte("{}"),
		},
	})
	check(err)

	var committed atomic.Int64
	n, err := node.New(node.Options{
		Home: home, Settings: settings, App: counter.Counter{}, Logger: slog.New(slog.DiscardHandler),
		Observer: func(_ time.Time, what core.Note) {
			if commit, ok := what.(core.Committed); ok {
				committed.Add(int64(commit.Transactions))
			}
		},
	})
	check(err)
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	<-n.Ready()

	for number := range uint64(3) {
		status, err := n.Submit(counter.Tx("sheep", number))
		check(err)
		_, err = n.WaitCommitted(ctx, status.ID)
		check(err)
	}
	count, err := n.Query([]byte("sheep"))
	check(err)
	stop()
	check(<-ended)
	fmt.Printf("%s sheep, %d transactions committed\n", count, committed.Load())
	// Output: 3 sheep, 3 transactions committed
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
