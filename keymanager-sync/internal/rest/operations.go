package rest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
)

// audit writes one line for every command that was carried out; the log of
// changes has the actor, too, but not the request's id.
func (s *Server) audit(r *http.Request, cmd command.Command, result ledger.Result) {
	s.logger.LogAttrs(r.Context(), slog.LevelInfo, "command carried out",
		slog.String("actor", actorOf(r.Context())), slog.String("command", cmd.String()),
		slog.Uint64("sequence", result.Sequence), slog.Int("changes", len(result.Changes)),
		slog.Bool("repeated", result.Repeated), slog.String("client", r.RemoteAddr))
	for _, note := range result.Notes {
		s.logger.LogAttrs(r.Context(), slog.LevelInfo, "note on a command", slog.String("resource", note.Ref.String()),
			slog.String("note", note.Text), slog.Uint64("sequence", result.Sequence))
	}
}

const (
	snapshotType  = "application/vnd.portcullis.snapshot"
	snapshotPiece = 256 << 10
	pieceTime     = 30 * time.Second
)

// snapshot answers what a node starts from.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	release, ok := s.store.Admit()
	if !ok {
		// With jitter, so that a fleet that starts at once does not come back at once.
		return newProblem(http.StatusServiceUnavailable, "unavailable",
			"too many snapshots are being downloaded").retryAfter(1 + rand.IntN(5)) //nolint:gosec // spreads load, hides nothing
	}
	defer release()
	snapshot, err := s.store.Snapshot(r.Context())
	if err != nil {
		return newProblem(http.StatusServiceUnavailable, "unavailable", "there is no snapshot yet: "+err.Error()).
			retryAfter(1 + rand.IntN(3)) //nolint:gosec // spreads load, hides nothing
	}
	header := w.Header()
	header.Set("ETag", snapshot.ETag)
	header.Set("Cache-Control", "no-cache")
	header.Set("Portcullis-Epoch", strconv.FormatUint(snapshot.Epoch, 10))
	setSequence(w, snapshot.Sequence)
	if unchanged(r, snapshot.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	header.Set("Content-Type", snapshotType)
	header.Set("Content-Length", strconv.Itoa(len(snapshot.Bytes)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		send(w, snapshot.Bytes)
	}
	return nil
}

// send writes piece by piece: a slow reader is fine, one that stands still is not.
func send(w http.ResponseWriter, bytes []byte) {
	for len(bytes) > 0 {
		extendWrite(w, pieceTime)
		n, err := w.Write(bytes[:min(len(bytes), snapshotPiece)])
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		bytes = bytes[n:]
	}
}

func (s *Server) getFleet(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	status, report := s.store.Status(), s.fleet.Report()
	answer := api.Fleet{
		Epoch: status.Position.Epoch, Sequence: status.Position.Sequence, Phase: string(status.Phase), Reason: status.Reason,
		Nodes: make([]api.Node, len(report.Nodes)), Replicas: make([]api.Replica, len(report.Replicas)),
	}
	for i, n := range report.Nodes {
		answer.Nodes[i] = describeNode(n)
	}
	for i, p := range report.Replicas {
		answer.Replicas[i] = api.Replica{
			ID: p.Head.GetReplica(), Live: p.Live, Self: p.Self, Diverged: p.Diverged,
			Writable: p.Head.GetWritable(), Epoch: p.Head.GetEpoch(),
			Sequence: p.Head.GetSequence(), SetHash: fmt.Sprintf("%016x", p.Head.GetSetHash()), Seen: p.Seen.UTC(),
		}
	}
	body, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the fleet: %w", err)
	}
	setSequence(w, answer.Sequence)
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, append(body, '\n'))
	return nil
}

func describeNode(n fleet.Node) api.Node {
	h := n.Heartbeat
	answer := api.Node{
		ID: h.GetNode(), Version: h.GetVersion(), Live: n.Live, State: h.GetState().String(),
		Epoch: h.GetEpoch(), Sequence: h.GetSequence(), Lag: n.Lag, OtherEpoch: n.OtherEpoch, Duplicate: n.Duplicate, Seen: n.Seen.UTC(),
		StartedAt: time.UnixMilli(h.GetStartedAt()).UTC(),
		Requests:  h.GetRequests(), Denials: h.GetDenials(), Resyncs: h.GetResyncs(),
		RejectCount: n.Rejects(), Schema: n.Schema(),
	}
	if answer.Member = n.Member; n.Member {
		joined := n.Joined.UTC()
		answer.Joined = &joined
	}
	if !n.Live {
		answer.SilentSeconds = time.Since(n.Seen).Round(time.Millisecond).Seconds()
	}
	if answer.Unheard = n.Unheard; n.Unheard {
		answer.State = "UNKNOWN"
	}
	for _, reject := range h.GetRejects() {
		answer.Rejects = append(answer.Rejects, api.Reject{
			Kind: reject.GetKind(), ID: reject.GetId(), Sequence: reject.GetSequence(), Reason: reject.GetReason(),
		})
	}
	return answer
}

func getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openapiDocument) // the client has gone
	return nil
}

func getHealth(w http.ResponseWriter, _ *http.Request) error {
	writeText(w, http.StatusOK, "ok\n")
	return nil
}

// getReady answers a load balancer whether to send requests here.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	status := s.store.Status()
	if s.draining.Load() {
		writeText(w, http.StatusServiceUnavailable, "DRAINING: the process is about to end\n")
		return nil
	}
	if status.Phase != store.Live {
		writeText(w, http.StatusServiceUnavailable, fmt.Sprintf("%s: %s\n", status.Phase, status.Reason))
		return nil
	}
	writeText(w, http.StatusOK, fmt.Sprintf("ready at sequence %d of epoch %d\n", status.Position.Sequence, status.Position.Epoch))
	return nil
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client has gone
}
