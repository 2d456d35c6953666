package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	cairnv1 "github.com/cairnchain/cairn/api/cairn/v1"
	"github.com/cairnchain/cairn/client"
	"github.com/cairnchain/cairn/client/load"
	"github.com/cairnchain/cairn/node"
	"github.com/cairnchain/cairn/node/keys"
)

// exit is how the process ends. Scripts rely on the codes: they do not change.
type exit struct {
	Code    int
	Meaning string
	Advice  string // what to do next, where the error itself does not say
}

// The one table of exit codes.
var (
	exitOK          = exit{0, "done", ""}
	exitFailure     = exit{1, "failed for a reason that has no code of its own", ""}
	exitUsage       = exit{2, "the command line is wrong, or the folder to make is not empty", "add --help to the command to see how it is used"}
	exitNotFound    = exit{3, "there is no such account name, transaction or block", ""}
	exitRejected    = exit{4, "the node or the chain refused, or the transaction failed", ""}
	exitUnavailable = exit{5, "no answer, or none in time",
		"is the node running? Start one with cairn devnet, or name it with --home, --rpc or, for a load, --endpoints"}
	exitLost = exit{6, "load: an acknowledged transaction was lost, or the accounts do not add up",
		"keep the nodes' folders and logs: this should never happen unless nodes were killed, or a third of the validators fail; what " +
			"is not committed yet lives in the memory of the node that acknowledged it and of those it was shared with"}
	exitLocked   = exit{10, "start: another process uses the folder", "stop that process; cairn status asks a node that runs"}
	exitNoSafety = exit{11, "start: the safety record is missing", ""}
	exitDamaged  = exit{12, "start: both copies of the safety record are damaged", ""}
	exitWrongKey = exit{13, "start: the safety record is of another key", ""}
	exitChain    = exit{14, "the folder is of another chain than the genesis document, or than the node that answers", ""}
	exitNewer    = exit{15, "start: another version wrote the folder, which this one cannot read", "start it with that version"}
	exitCorrupt  = exit{16, "start: the database is corrupt", ""}
	exitPort     = exit{17, "start: a port is in use, or two listeners would need the same", ""}
	exitHome     = exit{18, "start: the folder is no home, holds another network, or cannot be used by this user", ""}
	exitSettings = exit{19, "start: a setting is unknown or out of its range", "cairn config docs lists all settings"}
	exitGenesis  = exit{20, "start: the genesis document cannot be used", ""}
	exitKey      = exit{21, "a key file is refused: readable by others, damaged, or its passphrase is missing or wrong", ""}
	exitDisk     = exit{22, "start: the disk is full, read-only or failing; also of a node that ran",
		"nothing has to be repaired. Make the disk writable, or free space on it (df -h, dmesg), and start the node again"}
	exitTwice = exit{23, "start: this validator's key signs elsewhere too, or its safety record is an old copy",
		"do not start it again before you know where the other one is: see the runbook, \"Two nodes have one key\""}
	exitLoop   = exit{24, "start: the node ended again and again at one height", ""}
	exitPoison = exit{25, "start: a block cannot be executed here, its certified result differs from ours, or consensus halted",
		"the other validators go on if only this one is affected: see the runbook, \"A block cannot be executed\""}
	exitDistrust = exit{27, "start: a listener's chain does not contain its trusted checkpoint, or upstreams hold proofs of two chains", ""}
	exitFiles    = exit{26, "start: too few file descriptors", ""}
)

var exits = []exit{
	exitOK, exitFailure, exitUsage, exitNotFound, exitRejected, exitUnavailable, exitLost, exitLocked, exitNoSafety, exitDamaged,
	exitWrongKey, exitChain, exitNewer, exitCorrupt, exitPort, exitHome, exitSettings, exitGenesis, exitKey, exitDisk, exitTwice,
	exitLoop, exitPoison, exitFiles, exitDistrust,
}

var refusalExits = map[node.Refusal]exit{
	node.RefusedLocked: exitLocked, node.RefusedNoSafety: exitNoSafety, node.RefusedDamaged: exitDamaged,
	node.RefusedWrongKey: exitWrongKey, node.RefusedWrongChain: exitChain, node.RefusedNewer: exitNewer,
	node.RefusedOlder:   exitNewer,
	node.RefusedCorrupt: exitCorrupt, node.RefusedHome: exitHome, node.RefusedSettings: exitSettings,
	node.RefusedGenesis: exitGenesis, node.RefusedKey: exitKey, node.RefusedDistrust: exitDistrust,
	node.StoppedElsewhere: exitTwice, node.StoppedLoop: exitLoop, node.StoppedPoison: exitPoison,
	node.RefusedFolder: exitHome, node.RefusedFiles: exitFiles, node.FailedDisk: exitDisk,
}

// usageError is a command line that cannot be carried out.
type usageError struct{ err error }

// Error says what is wrong with it.
func (e *usageError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// outcomeError is a transaction that did not do what was asked for. Its result was printed.
type outcomeError struct {
	exit    exit
	message string
}

// Error says how it ended.
func (e *outcomeError) Error() string { return e.message }

// chainError is an answer from a node of another chain.
type chainError struct{ message string }

// Error says which chains they are.
func (e *chainError) Error() string { return e.message }

// exitOf finds the code of an error.
func exitOf(err error) exit {
	var (
		usage   *usageError
		outcome *outcomeError
		call    *client.Error
		ports   *node.PortPlanError
		busy    *node.PortBusyError
		chain   *chainError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.Is(err, keys.ErrName), isUnknownCommand(err):
		return exitUsage
	case errors.Is(err, node.ErrNotEmpty):
		return exit{exitUsage.Code, exitUsage.Meaning, ""} // the error says what to do
	case errors.As(err, &outcome):
		return outcome.exit
	case errors.As(err, &call):
		return exitOfCall(call)
	case errors.As(err, &chain):
		return exitChain
	case errors.As(err, &ports), errors.As(err, &busy):
		return exitPort
	case errors.Is(err, keys.ErrNotFound):
		return exitNotFound
	case errors.Is(err, node.ErrNotRunning):
		return exit{exitUnavailable.Code, exitUnavailable.Meaning, ""} // the error says what to do
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, load.ErrStream):
		return exitUnavailable
	}
	if known, ok := refusalExits[node.RefusalOf(err)]; ok {
		return known
	}
	return exitFailure
}

// isUnknownCommand knows cobra's error for a command that there is none of, which has no type.
func isUnknownCommand(err error) bool { return strings.HasPrefix(err.Error(), "unknown command ") }

func exitOfCall(call *client.Error) exit {
	switch call.Code {
	case codes.NotFound, codes.OutOfRange:
		return exitNotFound
	case codes.InvalidArgument, codes.FailedPrecondition, codes.ResourceExhausted, codes.AlreadyExists,
		codes.PermissionDenied, codes.Unimplemented:
		return exitRejected
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return exitUnavailable
	default:
		return exitFailure
	}
}

// printError says what went wrong and what to do next; as one line of JSON if that is asked for.
func (c *cli) printError(err error) {
	e := exitOf(err)
	if c.format == formatJSON {
		report := struct {
			Error struct {
				ExitCode int    `json:"exitCode"`
				Reason   string `json:"reason,omitempty"`
				Message  string `json:"message"`
				Advice   string `json:"advice,omitempty"`
			} `json:"error"`
		}{}
		report.Error.ExitCode, report.Error.Message, report.Error.Advice = e.Code, err.Error(), e.Advice
		if reason := client.ReasonOf(err); reason != cairnv1.ErrorReason_UNSPECIFIED {
			report.Error.Reason = reason.String()
		}
		if line, err := jsonLine(report); err == nil {
			_, _ = c.errOut.Write(line)
		}
		return
	}
	_, _ = fmt.Fprintf(c.errOut, "cairn: %v\n", err)
	if e.Advice != "" {
		_, _ = fmt.Fprintf(c.errOut, "       %s\n", e.Advice)
	}
}

// exitCodesTopic is the help topic that lists the table.
func exitCodesTopic() *cobra.Command {
	var b bytes.Buffer
	b.WriteString("The exit codes of cairn:\n\n")
	printExits(&b)
	return &cobra.Command{Use: "exit-codes", Short: "The exit codes of all commands", Long: b.String()}
}

func printExits(w *bytes.Buffer) {
	for _, e := range exits {
		fmt.Fprintf(w, "  %3d  %s\n", e.Code, e.Meaning)
	}
}
