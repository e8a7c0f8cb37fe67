package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
	"github.com/portcullis-gateway/portcullis/shared/rules"
)

// apply makes resources as a file says, all or none.
func (s *Server) apply(w http.ResponseWriter, r *http.Request) error {
	wr, err := startWrite(r, "dry_run", "deploy")
	if err != nil {
		return err
	}
	if err := unconditional(r); err != nil {
		return err
	}
	dryRun, err := wr.params.flag("dry_run", false)
	if err != nil {
		return err
	}
	deploy, err := wr.params.flag("deploy", true)
	if err != nil {
		return err
	}
	docs, err := readDocuments(w, r)
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return invalid("the body has no documents")
	}
	cmd := command.Apply{Resources: resources(docs), Deploy: deploy}
	if dryRun {
		return s.rehearse(w, docs, cmd, wr.skew)
	}
	before := s.store.State()
	result, behind, err := s.submit(w, r, wr, cmd)
	if err != nil {
		return located(docs, err)
	}
	answer := outcome(before, docs, result)
	return writeApplied(w, statusOf2xx(behind, http.StatusOK), answer)
}

// rehearse returns what a command would do; nothing is written.
func (s *Server) rehearse(w http.ResponseWriter, docs []resource.Document, cmd command.Apply, allowSkew bool) error {
	state := s.store.State()
	proposal, err := command.Decide(state, cmd, time.Now())
	if err != nil {
		return located(docs, err)
	}
	if !allowSkew {
		if err := s.fleet.Understands(proposal.Changes); err != nil {
			return err
		}
	}
	differences, err := command.Differences(state, proposal)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	answer := api.Applied{Notes: notes(proposal.Notes)}
	var text strings.Builder
	for _, d := range differences {
		answer.Changes = append(answer.Changes, differenceOf(d))
		text.WriteString(d.String() + "\n")
	}
	finish(&answer, docs, &text)
	setSequence(w, state.Position().Sequence)
	return writeApplied(w, http.StatusOK, answer)
}

// outcome returns what an apply did.
func outcome(before *catalog.State, docs []resource.Document, result ledger.Result) api.Applied {
	answer := api.Applied{Notes: notes(result.Notes)}
	var text strings.Builder
	for _, c := range result.Changes {
		ref := catalog.Ref{Kind: c.GetKind(), ID: c.GetId()}
		d := api.Difference{Ref: ref.String(), Action: actionOf(before, c)}
		answer.Changes = append(answer.Changes, d)
		text.WriteString(signOf(d.Action) + " " + d.Ref + "\n")
	}
	finish(&answer, docs, &text)
	return answer
}

func actionOf(before *catalog.State, c *pb.Change) string {
	_, existed := before.Get(c.GetKind(), c.GetId())
	switch {
	case c.GetRemoved():
		return api.Deleted
	case c.GetVersion() == 1 || !existed:
		return api.Created
	}
	return api.Updated
}

func differenceOf(d command.Difference) api.Difference {
	out := api.Difference{Ref: d.Ref.String(), Action: api.Updated}
	switch d.Sign {
	case command.Added:
		out.Action = api.Created
	case command.Removed:
		out.Action = api.Deleted
	case command.Changed:
	}
	for _, f := range d.Fields {
		out.Fields = append(out.Fields, api.FieldChange{Path: f.Path, From: f.Before, To: f.After})
	}
	return out
}

func signOf(action string) string {
	switch action {
	case api.Created:
		return string(command.Added)
	case api.Deleted:
		return string(command.Removed)
	case api.Unchanged:
		return "="
	}
	return string(command.Changed)
}

// finish adds the documents that ask for what is there already, and the notes.
func finish(a *api.Applied, docs []resource.Document, text *strings.Builder) {
	changed := make(map[string]bool, len(a.Changes))
	for _, d := range a.Changes {
		changed[d.Ref] = true
	}
	for _, doc := range docs {
		ref := refOf(doc.Resource).String()
		if !changed[ref] {
			a.Changes = append(a.Changes, api.Difference{Ref: ref, Action: api.Unchanged})
			text.WriteString("= " + ref + "\n")
		}
	}
	for _, n := range a.Notes {
		text.WriteString("! " + n.Ref + ": " + n.Text + "\n")
	}
	a.Text = text.String()
}

func notes(list []rules.Note) []api.Note {
	out := make([]api.Note, len(list))
	for i, n := range list {
		out[i] = api.Note{Ref: n.Ref.String(), Text: n.Text}
	}
	return out
}

func writeApplied(w http.ResponseWriter, status int, answer api.Applied) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, append(body, '\n'))
	return nil
}

// located gives problems the positions of their documents, so that the answer can
// name lines. In a file every problem is a fault of the file: always 422.
func located(docs []resource.Document, err error) error {
	found, ok := errors.AsType[fault.List](err)
	if !ok {
		return err
	}
	if located, ok := errors.AsType[fault.List](resource.Locate(docs, found)); ok {
		return unreadable(located)
	}
	return err
}

func refOf(r catalog.Resource) catalog.Ref {
	return catalog.Ref{Kind: catalog.KindOf(r), ID: r.GetId()}
}

func resources(docs []resource.Document) []catalog.Resource {
	list := make([]catalog.Resource, len(docs))
	for i, d := range docs {
		list[i] = d.Resource
	}
	return list
}

// readDocuments decodes the body of an apply: one file, or several as the parts
// of a multipart body, whose file names the errors then show.
func readDocuments(w http.ResponseWriter, r *http.Request) ([]resource.Document, error) {
	format, err := bodyFormat(r, "application/yaml", "application/json", "application/x-ndjson", "multipart/form-data")
	if err != nil {
		return nil, err
	}
	if format == "multipart/form-data" {
		return readParts(w, r)
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	return resource.DecodeYAML("", body)
}

func readParts(w http.ResponseWriter, r *http.Request) ([]resource.Document, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	reader, err := r.MultipartReader()
	if err != nil {
		return nil, badRequest("the multipart body cannot be read: " + err.Error())
	}
	var docs []resource.Document
	var faults fault.List
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bodyError(err)
		}
		found, err := readPart(part)
		if wrong, ok := errors.AsType[fault.List](err); ok {
			faults = append(faults, wrong...)
		} else if err != nil {
			return nil, err
		}
		docs = append(docs, found...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return docs, nil
}

func readPart(part *multipart.Part) ([]resource.Document, error) {
	name := part.FileName()
	if name == "" {
		return nil, badRequest(fmt.Sprintf("part %q of the multipart body is not a file (hint: curl -F file=@resources.yaml)", part.FormName()))
	}
	data, err := io.ReadAll(part)
	if err != nil {
		return nil, bodyError(err)
	}
	return resource.DecodeYAML(filepath.ToSlash(name), data)
}
