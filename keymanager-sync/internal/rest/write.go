package rest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

// maxBody is the size of the largest body, imports aside. Of the same size is
// what the log takes in one message.
const maxBody = 8 << 20

// writing is what all writes have in common.
type writing struct {
	params  params
	key     string
	wait    bool
	timeout time.Duration
	skew    bool // changes that a node would not understand are let through
}

// startWrite reads the parameters that every write knows, and those named in more.
func startWrite(r *http.Request, more ...string) (writing, error) {
	p, err := parseParams(r, append([]string{"wait", "timeout", "allow_skew"}, more...)...)
	if err != nil {
		return writing{}, err
	}
	wr := writing{params: p}
	if value, given := p["wait"]; given {
		if value != "fleet" {
			return writing{}, badRequest(fmt.Sprintf("wait=%q is unknown (hint: wait=fleet)", value))
		}
		wr.wait = true
	}
	if wr.skew, err = p.flag("allow_skew", false); err != nil {
		return writing{}, err
	}
	if wr.timeout, err = p.timeout(); err != nil {
		return writing{}, err
	}
	wr.key, err = idempotencyKey(r)
	return wr, err
}

// submit carries out a command, waits for the fleet if asked to, and sets the
// headers that every write answers with. behind: it is not in force on some node that was waited for.
func (s *Server) submit(w http.ResponseWriter, r *http.Request, wr writing, cmd command.Command) (result ledger.Result, behind bool, err error) {
	meta := ledger.Meta{Actor: actorOf(r.Context()), IdempotencyKey: wr.key, Awaited: wr.wait, AllowSkew: wr.skew}
	result, err = s.ledger.Submit(r.Context(), cmd, meta)
	if err != nil {
		return result, false, err
	}
	s.audit(r, cmd, result)
	setSequence(w, result.Sequence)
	if result.Repeated {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if !wr.wait {
		return result, false, nil
	}
	text, behind := s.waitFleet(r.Context(), wr.timeout, changeOf(cmd, result))
	w.Header().Set("Portcullis-Fleet", text)
	return result, behind, nil
}

// create answers POST on a collection.
func (s *Server) create(kind pb.Kind) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		wr, err := startWrite(r)
		if err != nil {
			return err
		}
		if err := unconditional(r); err != nil {
			return err
		}
		res, err := readResource(w, r, kind)
		if err != nil {
			return err
		}
		if res.GetId() == "" {
			catalog.SetID(res, newID(wr.key, r))
		}
		ref := catalog.Ref{Kind: kind, ID: res.GetId()}
		result, behind, err := s.submit(w, r, wr, command.Create{Resource: res})
		if err != nil {
			return err
		}
		w.Header().Set("Location", "/v1/"+catalog.Collection(kind)+"/"+ref.ID)
		return writeResult(w, statusOf2xx(behind, http.StatusCreated), result, ref)
	}
}

// newID is a fresh ULID in lower case. With an idempotency key it is made from
// the key, so that a repetition means the same resource.
func newID(key string, r *http.Request) string {
	if key == "" {
		return strings.ToLower(ulid.Make().String())
	}
	hash := sha256.Sum256([]byte(actorOf(r.Context()) + "\x00" + r.URL.Path + "\x00" + key))
	return strings.ToLower(ulid.ULID(hash[:16]).String())
}

// replace answers PUT.
func (s *Server) replace(kind pb.Kind) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		wr, err := startWrite(r)
		if err != nil {
			return err
		}
		cond, err := precondition(r, true)
		if err != nil {
			return err
		}
		res, err := readResource(w, r, kind)
		if err != nil {
			return err
		}
		ref := catalog.Ref{Kind: kind, ID: r.PathValue("id")}
		if res.GetId() != "" && res.GetId() != ref.ID {
			return invalid(fmt.Sprintf("the body has the id %q, the address %q (hint: a resource cannot be renamed)", res.GetId(), ref.ID))
		}
		catalog.SetID(res, ref.ID)
		result, behind, err := s.submit(w, r, wr, command.Replace{Resource: res, If: cond})
		if err != nil {
			return err
		}
		status := http.StatusOK
		if creates(result.Changes, ref) {
			status = http.StatusCreated
			w.Header().Set("Location", "/v1/"+catalog.Collection(kind)+"/"+ref.ID)
		}
		return writeResult(w, statusOf2xx(behind, status), result, ref)
	}
}

// creates reports whether the changes made the resource.
func creates(changes []*pb.Change, ref catalog.Ref) bool {
	for _, c := range changes {
		if c.GetKind() == ref.Kind && c.GetId() == ref.ID {
			return !c.GetRemoved() && c.GetVersion() == 1
		}
	}
	return false
}

// remove answers DELETE.
func (s *Server) remove(kind pb.Kind) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		wr, err := startWrite(r, "cascade")
		if err != nil {
			return err
		}
		cascade, err := wr.params.flag("cascade", false)
		if err != nil {
			return err
		}
		cond, err := precondition(r, false)
		if err != nil {
			return err
		}
		ref := catalog.Ref{Kind: kind, ID: r.PathValue("id")}
		_, behind, err := s.submit(w, r, wr, command.Remove{Ref: ref, Cascade: cascade, If: cond})
		if err != nil {
			return err
		}
		w.WriteHeader(statusOf2xx(behind, http.StatusNoContent))
		return nil
	}
}

// step answers a lifecycle verb.
func (s *Server) step(kind pb.Kind, verb string) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		known := []string(nil)
		if verb == "rollback" {
			known = append(known, "revision")
		}
		wr, err := startWrite(r, known...)
		if err != nil {
			return err
		}
		if err := refuseBody(w, r); err != nil {
			return err
		}
		revision, err := wr.params.number("revision", 0, 1, 1<<63)
		if err != nil {
			return err
		}
		cond, err := precondition(r, false)
		if err != nil {
			return err
		}
		ref := catalog.Ref{Kind: kind, ID: r.PathValue("id")}
		if verb == "rollback" && revision == 0 {
			revision = s.earlier(ref.ID)
		}
		result, behind, err := s.submit(w, r, wr, command.Step{Ref: ref, Verb: verb, Revision: revision, If: cond})
		if err != nil {
			return err
		}
		return writeResult(w, statusOf2xx(behind, http.StatusOK), result, ref)
	}
}

// refuseBody refuses the body of a step, which nobody would read.
func refuseBody(w http.ResponseWriter, r *http.Request) error {
	text, err := readBody(w, r)
	if err == nil && len(bytes.TrimSpace(text)) > 0 {
		err = badRequest("a step takes no body (hint: parameters are in the query, as in rollback?revision=1)")
	}
	return err
}

// earlier is the revision before the one that is in force now, as the caller
// sees it: a deployment that comes in between does not change what was meant.
func (s *Server) earlier(api string) uint64 {
	d, _ := catalog.Lookup[*pb.Deployment](s.store.State(), pb.Kind_KIND_DEPLOYMENT, api)
	if len(d.GetPrevious()) == 0 {
		return 0
	}
	return d.GetPrevious()[0].GetRevision()
}

// statusOf2xx is 202 while a node that was waited for is behind.
func statusOf2xx(behind bool, status int) int {
	if behind {
		return http.StatusAccepted
	}
	return status
}

// writeResult answers a write with the resource as the write left it.
func writeResult(w http.ResponseWriter, status int, result ledger.Result, ref catalog.Ref) error {
	record, ok := result.State.Get(ref.Kind, ref.ID)
	if !ok {
		w.Header().Del("Location")
		return notFound(fmt.Sprintf("%s was written with this Idempotency-Key at sequence %d, and has been removed since", ref, result.Sequence))
	}
	w.Header().Set("ETag", etag(record))
	w.Header().Set("Cache-Control", "no-store")
	return writeRecord(w, status, record)
}

// readResource decodes the body of a single resource, JSON or YAML.
func readResource(w http.ResponseWriter, r *http.Request, kind pb.Kind) (catalog.Resource, error) {
	format, err := bodyFormat(r, "application/json", "application/yaml")
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	if format != "application/yaml" {
		return resource.DecodeJSON("", body, kind)
	}
	docs, err := resource.DecodeYAML("", body)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, invalid(fmt.Sprintf("the body has %d documents, not one (hint: /v1/apply takes many)", len(docs)))
	}
	if got := catalog.KindOf(docs[0].Resource); got != kind {
		return nil, invalid(fmt.Sprintf("the kind here is %s, not %s", catalog.KindName(kind), catalog.KindName(got)))
	}
	return docs[0].Resource, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, bodyError(err)
	}
	return body, nil
}

// bodyError is what a body that cannot be read to its end is answered with.
func bodyError(err error) error {
	if toProblem(err) != nil {
		return err
	}
	return badRequest("the body broke off: " + err.Error())
}

// bodyFormat is the Content-Type without parameters; absent: the first of the known ones.
func bodyFormat(r *http.Request, known ...string) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return known[0], nil
	}
	format, _, err := mime.ParseMediaType(header)
	if err == nil {
		switch format {
		case "text/yaml", "application/x-yaml", "text/x-yaml":
			format = "application/yaml"
		case "application/x-www-form-urlencoded": // curl's default
			format = known[0]
		}
		if slices.Contains(known, format) {
			return format, nil
		}
	}
	return "", newProblem(http.StatusUnsupportedMediaType, "unsupported-media-type",
		fmt.Sprintf("Content-Type %q is not understood here (hint: %s)", header, strings.Join(known, " or ")))
}
