package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/app/ledger"
	"github.com/cairnchain/cairn/client"
)

const (
	// allFunds is what the accounts of a seed are given together, in base units, and leastFunds what each has at least.
	// An account is given funds when it has less than half of its share.
	allFunds, leastFunds = 100_000_000, 1_000
	// fundBatch is how many transfers of the bank are under way before it waits for their commit.
	fundBatch = 32
	// fundWait is how long a transfer of the bank may take to be committed.
	fundWait = 30 * time.Second
	// fundTries is how often the bank and the faucet are asked again when they are told to come later.
	fundTries = 300
	// readsAtOnce is how many accounts are read at a time.
	readsAtOnce = 32
	// idleTries and idlePause bound the wait for what earlier runs left pending.
	idleTries, idlePause = 50, 200 * time.Millisecond
)

// prepare finds a node that answers and makes the accounts ready: funded, and without anything pending.
func (r *run) prepare(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	all, err := r.readAccounts(ctx)
	if err != nil {
		return err
	}
	funded, err := r.fund(ctx, all)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		if funded || try > 0 { // else what was read is what there is
			if all, err = r.readAccounts(ctx); err != nil {
				return err
			}
		}
		busy := 0
		for i, a := range r.accounts {
			a.balance, a.sequence, a.next = all[i].GetBalance(), all[i].GetSequence(), all[i].GetSequence()
			if all[i].GetPendingSequence() > a.sequence {
				busy++
			}
		}
		if busy == 0 {
			break
		}
		if try == idleTries {
			return fmt.Errorf("%w: %d of them have pending transactions, of another run? wait for its end, or choose another seed",
				ErrBusy, busy)
		}
		if err := sleep(ctx, idlePause); err != nil {
			return err
		}
	}
	r.tracker = newTracker(r.accounts)
	height := uint64(0)
	for _, a := range all {
		height = max(height, a.GetHeight())
	}
	return r.awaitHeight(ctx, height)
}

// awaitHeight waits until every place of submission knows what the accounts were given, by the height at which they had
// it. One that does not answer or lags for long is left to the run to find out about.
func (r *run) awaitHeight(ctx context.Context, height uint64) error {
	for place := range r.submitter.places() {
		for range idleTries {
			call, cancel := context.WithTimeout(ctx, r.cfg.Patience)
			has, err := r.submitter.height(call, place)
			cancel()
			if err != nil || has >= height {
				break
			}
			if err := sleep(ctx, idlePause/4); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect asks the nodes for their chain until one answers: that one is observed.
func (r *run) connect(ctx context.Context) error {
	var (
		answer *cairnv1.Chain
		err    error
	)
	for i, c := range r.cfg.Clients {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		answer, err = c.Chain(call)
		cancel()
		if err == nil {
			r.observer = i
			break
		}
	}
	if err != nil {
		return err
	}
	r.chain = chain{answer.GetChainId(), answer.GetAddressPrefix(), answer.GetMinimumFee()}
	r.submitter = r.newSubmitter()
	if err := r.reach(ctx); err != nil {
		return err
	}
	r.accounts = newAccounts(r.chain, r.cfg, r.submitter.places())
	r.memo, r.size, err = memoLength(r.chain, r.accounts[0], r.cfg.Size)
	if err == nil && r.memo > ledger.MaxMemoBytes {
		err = fmt.Errorf("%w: size: %d bytes want a memo of %d, the limit is %d", ErrConfig, r.cfg.Size, r.memo, ledger.MaxMemoBytes)
	}
	return err
}

// reach wants a place of submission that answers. By gRPC they are the nodes, of which one has.
func (r *run) reach(ctx context.Context) (err error) {
	if r.cfg.Via != REST {
		return nil
	}
	for place := range r.submitter.places() {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		_, err = r.submitter.height(call, place)
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("no endpoint answers by REST: %w", err)
}

// readAccounts reads all accounts from the observed node.
func (r *run) readAccounts(ctx context.Context) ([]*cairnv1.Account, error) {
	all := make([]*cairnv1.Account, len(r.accounts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, a := range r.accounts {
		group.Go(func() (err error) {
			all[i], err = r.readAccount(ctx, a.address)
			return err
		})
	}
	return all, group.Wait()
}

func (r *run) readAccount(ctx context.Context, address string) (*cairnv1.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.cfg.Clients[r.observer].Account(ctx, address)
}

// fund gives the accounts that have too little their share, from the bank or by way of a bank from the faucet, and
// reports whether there were any.
func (r *run) fund(ctx context.Context, all []*cairnv1.Account) (bool, error) {
	share := max(leastFunds, allFunds/uint64(len(all)))
	var outputs []client.Output
	total := uint64(0)
	for _, a := range all {
		if a.GetBalance() < share/2 {
			outputs = append(outputs, client.Output{To: a.GetAddress(), Amount: share - a.GetBalance()})
			total += share - a.GetBalance()
		}
	}
	if len(outputs) == 0 {
		return false, nil
	}
	total += r.chain.fee * uint64(len(outputs)/ledger.MaxOutputs+1)
	bank := r.cfg.Bank
	if bank == nil {
		bank = client.NewWallet(keyOf(r.chain.id, r.cfg.Seed, "bank", 0), r.chain.prefix)
		if err := r.askFaucet(ctx, bank.Address(), total); err != nil {
			return true, err
		}
	}
	account, err := r.readAccount(ctx, bank.Address())
	if err != nil {
		return true, err
	}
	if account.GetBalance() < total {
		return true, fmt.Errorf("%w: %s has %d base units, %d accounts need %d; name a richer wallet, or fewer accounts, or start a new devnet",
			ErrFunds, bank.Address(), account.GetBalance(), len(outputs), total)
	}
	return true, r.pay(ctx, bank, account.GetPendingSequence(), outputs)
}

// pay sends the outputs in transfers with as many of them as fit.
func (r *run) pay(ctx context.Context, bank *client.Wallet, sequence uint64, outputs []client.Output) error {
	for sentOnes := 1; len(outputs) > 0; sentOnes++ {
		n := min(len(outputs), ledger.MaxOutputs)
		signed, err := bank.Sign(client.Transfer{ChainID: r.chain.id, Sequence: sequence, Fee: r.chain.fee, Outputs: outputs[:n]})
		if err != nil {
			return err
		}
		outputs = outputs[n:]
		sequence++
		wait := time.Duration(0)
		if len(outputs) == 0 || sentOnes%fundBatch == 0 {
			wait = fundWait
		}
		var answer *cairnv1.SubmitTransactionResponse
		err = retry(ctx, func() (err error) {
			answer, err = r.cfg.Clients[r.observer].Submit(ctx, signed, wait)
			return err
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFunds, err)
		}
		if wait > 0 && (answer.GetState() != cairnv1.TransactionState_COMMITTED ||
			answer.GetReceipt().GetCode() != cairnv1.ReceiptCode_OK) {
			return fmt.Errorf("%w: the transfer %s is %s after %v; cairn status may say why", ErrFunds, signed.ID,
				answer.GetState(), wait)
		}
	}
	return nil
}

// faucetMost is what the faucet is asked for at once, in base units.
const faucetMost = 100_000_000

// askFaucet asks until the account has what it needs.
func (r *run) askFaucet(ctx context.Context, address string, need uint64) error {
	account, err := r.readAccount(ctx, address)
	if err != nil {
		return err
	}
	for have := account.GetBalance(); have < need; {
		ask := min(need-have, faucetMost)
		err := retry(ctx, func() error {
			answer, err := r.cfg.Clients[r.observer].RequestFunds(ctx, address, ask)
			if err == nil && answer.GetState() != cairnv1.TransactionState_COMMITTED {
				err = fmt.Errorf("its transfer is %s", answer.GetState())
			}
			return err
		})
		if client.ReasonOf(err) == cairnv1.ErrorReason_FAUCET_DISABLED {
			return fmt.Errorf("%w: the chain has no faucet; name a wallet that has funds: %w", ErrFunds, err)
		}
		if err != nil {
			return fmt.Errorf("%w: the faucet: %w", ErrFunds, err)
		}
		have += ask
	}
	return nil
}

// retry calls again when a node says when to.
func retry(ctx context.Context, call func() error) error {
	for tries := 1; ; tries++ {
		err := call()
		var e *client.Error
		if !errors.As(err, &e) || e.RetryAfter == 0 || tries == fundTries {
			return err
		}
		if stopped := sleep(ctx, min(e.RetryAfter, longestRest)); stopped != nil {
			return stopped
		}
	}
}
