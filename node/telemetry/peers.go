package telemetry

import (
	"log/slog"
	"time"

	"github.com/cairnchain/cairn/consensus"
	"github.com/cairnchain/cairn/node/peer"
)

const fieldAddress = "address"

// PeerObserver returns what the validator network tells its notes to. Safe for concurrent use; it never blocks. The
// network limits its notes itself, so each becomes a line.
func (t *Telemetry) PeerObserver() func(peer.Note) {
	return func(n peer.Note) { t.peerNote(time.Now(), n) }
}

func (t *Telemetry) peerNote(at time.Time, n peer.Note) {
	level := slog.LevelWarn
	var said line
	var kind string
	var suppressed int
	switch n := n.(type) {
	case peer.Up:
		level, kind, suppressed = slog.LevelInfo, "up", n.Suppressed
		said = say("peer connected", t.lines.peer(n.Peer))
	case peer.Down:
		kind, suppressed = "down", n.Suppressed
		said = t.sayPeerFault("peer disconnected", n.Peer, n.Reason)
	case peer.Refused:
		kind, suppressed = "refused", n.Suppressed
		said = t.sayPeerFault("peer refused", n.Peer, n.Reason)
	case peer.StrangerRefused:
		kind, suppressed = "stranger", n.Suppressed
		said = say("stranger refused", slog.String(fieldAddress, clip(n.Address)), reason(textOf(n.Reason)))
	case peer.MessageRejected:
		kind, suppressed = "rejected", n.Suppressed
		said = t.sayPeerFault("message rejected", n.From, n.Reason)
	}
	t.peerNotes.add(kind, int64(1+suppressed))
	if said.message != "" && t.lines.journal.enabled(level) {
		t.lines.write(at, level, said, suppressed)
	}
}

func (t *Telemetry) sayPeerFault(message string, id consensus.ValidatorID, why error) line {
	return say(message, t.lines.peer(id), reason(textOf(why)))
}

// textOf is the text of an error that may be nil.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
