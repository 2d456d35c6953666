package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/encoding/protojson"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/node"
)

// The transcripts in testdata are what users see: results, then what goes to standard error, then the exit code.
// Each file has a home and a node of its own.
//
// Directives: "run" with command lines (no shell: words are split at spaces, 'quotes' keep them together), "stall" the
// node, "listen" makes it a listener that follows whom it names, "stop" forgets where it runs, "mode" changes that of a file in the home.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		home, endpoint, fake := fakeHome(t)
		t.Setenv("CAIRN_HOME", home)
		tidy := strings.NewReplacer(home, "$HOME", endpoint, "$NODE")
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "run":
				var b strings.Builder
				for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
					b.WriteString(tidyRetries(tidy.Replace(runLine(t, strings.NewReplacer("$HOME", home, "$NODE", endpoint).Replace(line)))))
				}
				return b.String()
			case "stall":
				fake.mu.Lock()
				fake.stalled = true
				fake.mu.Unlock()
				return ""
			case "listen":
				fake.mu.Lock()
				fake.listens = d.CmdArgs[0].Key
				fake.mu.Unlock()
				return ""
			case "stop":
				if err := os.Remove(filepath.Join(home, "endpoints.json")); err != nil {
					t.Fatal(err)
				}
				return ""
			case "mode":
				if err := os.Chmod(filepath.Join(home, d.CmdArgs[0].Key), 0o644); err != nil {
					t.Fatal(err)
				}
				return ""
			}
			t.Fatalf("unknown directive %s", d.Cmd)
			return ""
		})
	})
}

// tidyRetries removes what chance decides: how long a pause is.
func tidyRetries(text string) string {
	return regexp.MustCompile(`again in \d+ms`).ReplaceAllString(text, "again in ?ms")
}

func runLine(t *testing.T, line string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), splitWords(line), &out, &errOut)
	text := out.String()
	for _, line := range strings.Split(strings.TrimRight(errOut.String(), "\n"), "\n") {
		if line != "" {
			text += "! " + line + "\n"
		}
	}
	return text + fmt.Sprintf("exit %d\n", code)
}

func splitWords(line string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`'([^']*)'|\S+`).FindAllStringSubmatch(line, -1) {
		if strings.HasPrefix(m[0], "'") {
			words = append(words, m[1])
		} else {
			words = append(words, m[0])
		}
	}
	return words
}

// What tx sign prints is what SubmitTransaction takes over REST, and what tx send would send.
func TestSignPrintsThePostBody(t *testing.T) {
	home, _, fake := fakeHome(t)
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"tx", "sign", "--home", home, "--from", "alice", "--to", "bob", "--amount", "5", "--sequence", "0",
		"--wait=2s"}, &out, &errOut)
	if code != 0 || errOut.Len() != 0 || strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("exit %d: %s%s", code, out.String(), errOut.String())
	}
	var request cairnv1.SubmitTransactionRequest
	if err := protojson.Unmarshal(out.Bytes(), &request); err != nil {
		t.Fatal(err)
	}
	if request.GetWait().AsDuration().String() != "2s" {
		t.Errorf("wait %v", request.GetWait())
	}
	answer, err := fake.SubmitTransaction(t.Context(), &request)
	if err != nil || answer.GetState() != cairnv1.TransactionState_COMMITTED {
		t.Errorf("%v, %v", answer, err)
	}
	var keys map[string]any
	if err := json.Unmarshal(out.Bytes(), &keys); err != nil || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
}

// At the port that a home names, a node of another chain may answer: nothing is signed for it.
func TestAnotherChainAnswers(t *testing.T) {
	_, endpoint, _ := fakeHome(t)
	home := filepath.Join(t.TempDir(), "other")
	if _, err := node.WriteTestnet(home, node.NetworkOptions{Kind: node.Devnet, Validators: 1, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := node.SaveEndpoints(home, node.Running{Nodes: []node.RunningNode{{RPC: endpoint}}}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"tx", "send", "--from", "alice", "--to", "bob", "--amount", "5"}, {"watch"}} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), append(args, "--home", home), &out, &errOut)
		if code != exitChain.Code || out.Len() != 0 || !strings.Contains(errOut.String(), fakeChain) {
			t.Errorf("%v: exit %d: %s%s", args, code, out.String(), errOut.String())
		}
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"status", "--home", home, "--rpc", endpoint}, &out, &errOut); code != 0 {
		t.Errorf("with --rpc: exit %d: %s", code, errOut.String())
	}
}

// Every command and flag has help, and every exit code its own number and meaning.
func TestHelpIsComplete(t *testing.T) {
	seen := map[int]bool{}
	for _, e := range exits {
		if e.Meaning == "" || seen[e.Code] {
			t.Errorf("%+v", e)
		}
		seen[e.Code] = true
	}
	for refusal, e := range refusalExits {
		if refusal == "" || !seen[e.Code] || e.Code < 10 {
			t.Errorf("%q: %+v", refusal, e)
		}
	}
	c := &cli{}
	root := c.root()
	commands := root.Commands()
	for i := 0; i < len(commands); i++ {
		cmd := commands[i]
		commands = append(commands, cmd.Commands()...)
		if cmd.Short == "" {
			t.Errorf("%s has no help", cmd.CommandPath())
		}
	}
	if len(commands) < 18 {
		t.Errorf("only %d commands", len(commands))
	}
}
