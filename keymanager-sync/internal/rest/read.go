package rest

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

const (
	defaultLimit = 100
	longestPage  = 1000
)

// get answers one resource.
func (s *Server) get(kind pb.Kind) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := parseParams(r, "min_sequence", "timeout")
		if err != nil {
			return err
		}
		state, err := s.stateFor(r.Context(), p)
		if err != nil {
			return err
		}
		id := r.PathValue("id")
		record, ok := state.Get(kind, id)
		if !ok {
			return absent(state, kind, id)
		}
		setSequence(w, state.Position().Sequence)
		tag := etag(record)
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "no-cache")
		if unchanged(r, tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		return writeRecord(w, http.StatusOK, record)
	}
}

func absent(state *catalog.State, kind pb.Kind, id string) error {
	if kind == pb.Kind_KIND_DEPLOYMENT {
		if _, ok := state.Get(pb.Kind_KIND_API, id); ok {
			return notFound(fmt.Sprintf("api/%s has never been deployed (hint: POST /v1/apis/%s/deploy)", id, id))
		}
	}
	return notFound("there is no " + catalog.Ref{Kind: kind, ID: id}.String())
}

// list answers one page of a collection.
func (s *Server) list(kind pb.Kind) action {
	known := append([]string{"limit", "after", "min_sequence", "timeout"}, filterNames(kind)...)
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := parseParams(r, known...)
		if err != nil {
			return err
		}
		limit, err := p.number("limit", defaultLimit, 1, longestPage)
		if err != nil {
			return err
		}
		state, err := s.stateFor(r.Context(), p)
		if err != nil {
			return err
		}
		query := store.Query{Kind: kind, After: p["after"], Limit: int(limit)}
		if err := narrow(&query, state, p); err != nil {
			return err
		}
		page, err := s.store.List(query)
		if err != nil {
			return fmt.Errorf("list %s: %w", catalog.Collection(kind), err)
		}
		return writePage(w, page)
	}
}

func writePage(w http.ResponseWriter, page store.Page) error {
	body := []byte(`{"items":[`)
	for i, record := range page.Records {
		shown, err := record.Decode()
		if err != nil {
			return fmt.Errorf("decode %s: %w", record.Ref(), err)
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = resource.AppendJSON(body, shown)
	}
	body = append(body, ']')
	if page.Next != "" {
		body = append(body, `,"next":`...)
		body = strconv.AppendQuote(body, page.Next)
	}
	body = append(body, "}\n"...)
	setSequence(w, page.State.Position().Sequence)
	w.Header().Set("Cache-Control", "no-cache")
	writeJSON(w, http.StatusOK, body)
	return nil
}

func writeRecord(w http.ResponseWriter, status int, record catalog.Record) error {
	shown, err := record.Decode()
	if err != nil {
		return fmt.Errorf("decode %s: %w", record.Ref(), err)
	}
	writeJSON(w, status, append(resource.EncodeJSON(shown), '\n'))
	return nil
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, as its type says; the client may have gone
}

func setSequence(w http.ResponseWriter, sequence uint64) {
	w.Header().Set("Portcullis-Sequence", strconv.FormatUint(sequence, 10))
}
