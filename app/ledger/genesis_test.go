package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cairnchain/cairn/app"
	"github.com/cairnchain/cairn/consensus/signature"
)

func TestGenesis(t *testing.T) {
	l, state := newChain(t, 1000, 0, 7)
	for n, want := range []uint64{1000, 0, 7} {
		if got := readAccount(t, state, n); got.Balance != want || got.Sequence != 0 || got.PublicKey != nil {
			t.Errorf("account %d: %+v", n, got)
		}
	}
	if supply, err := ReadSupply(state); err != nil || supply != 1007 {
		t.Errorf("supply %d, %v", supply, err)
	}
	if got := (Params{testChain, DefaultPrefix, testFee, true}); l.Params() != got {
		t.Errorf("params %+v", l.Params())
	}
	result, err := l.Genesis(l.document)
	if err != nil || !slices.IsSortedFunc(result.Changes, func(a, b app.Change) int {
		return strings.Compare(string(a.Key), string(b.Key))
	}) {
		t.Errorf("changes are not ordered, %v", err)
	}
	if _, err := l.Genesis([]byte(`{}`)); err == nil {
		t.Error("another document was taken")
	}
}

func TestDocumentIsReadStrictly(t *testing.T) {
	one, two := addressOf(1).Text(DefaultPrefix), addressOf(2).Text(DefaultPrefix)
	account := func(address string, balance uint64) string {
		return fmt.Sprintf(`{"address":%q,"balance":%d}`, address, balance)
	}
	accounts := func(list ...string) string { return `{"accounts":[` + strings.Join(list, ",") + `]}` }
	cases := map[string]struct {
		document string
		want     string // in the error; "" is accepted
	}{
		"empty object":      {`{}`, ""},
		"full":              {`{"addressPrefix":"cairn","minimumFee":3,"faucet":true,"accounts":[` + account(one, 1) + `]} `, ""},
		"supply at limit":   {accounts(account(one, math.MaxUint64-1), account(two, 1)), ""},
		"supply overflows":  {accounts(account(one, math.MaxUint64), account(two, 1)), "overflows"},
		"twice":             {accounts(account(one, 1), account(one, 1)), "twice"},
		"other prefix":      {accounts(account(addressOf(1).Text("x"), 1)), "prefix"},
		"own prefix":        {`{"addressPrefix":"x","accounts":[` + account(addressOf(1).Text("x"), 1) + `]}`, ""},
		"bad prefix":        {`{"addressPrefix":"X"}`, "addressPrefix"},
		"unknown key":       {`{"inflation":1}`, "inflation"},
		"other case":        {`{"MinimumFee":1}`, "MinimumFee"},
		"key twice":         {`{"minimumFee":1,"minimumFee":2}`, "twice"},
		"key twice inside":  {accounts(`{"address":"a","address":"b"}`), "twice"},
		"trailing":          {`{} {}`, "follow"},
		"trailing garbage":  {`{} x`, "follow"},
		"negative":          {`{"minimumFee":-1}`, "minimumFee"},
		"fraction":          {`{"minimumFee":1.5}`, "minimumFee"},
		"null":              {`null`, "no JSON object"},
		"array":             {`[]`, "no JSON object"},
		"nothing":           {``, "no JSON object"},
		"cut":               {`{"accounts":[`, "EOF"},
		"deep":              {`{"accounts":[[]]}`, "cannot unmarshal"},
		"too deep":          {`{"accounts":[[[]]]}`, "too deep"},
		"too many accounts": {accounts(slices.Repeat([]string{`{}`}, MaxGenesisAccounts+1)...), "limit"},
		"too long":          {`{` + strings.Repeat(" ", MaxDocumentBytes) + `}`, "limit"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := New(testChain, []byte(c.document), signature.NewEd25519())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDocumentRoundTrip(t *testing.T) {
	in := Document{AddressPrefix: "x", MinimumFee: math.MaxUint64, Accounts: []GenesisAccount{{addressOf(1).Text("x"), math.MaxUint64}}}
	out, err := ParseDocument(in.Encode())
	if err != nil || out.MinimumFee != in.MinimumFee || out.Accounts[0] != in.Accounts[0] || out.AddressPrefix != "x" {
		t.Fatalf("%+v, %v", out, err)
	}
}
