package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/api"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/fleet"
	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/ledger"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/resource"
)

const (
	// chunkResources and chunkBytes bound a chunk, and so a message of the log.
	chunkResources = 1000
	chunkBytes     = 2 << 20
	importPrefix   = "import:"
	longestImport  = 64
)

// importing is one import while its body is being read.
type importing struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	wr      writing
	deploy  bool
	body    *countingReader
	scanner *resource.Scanner
	lines   *json.Encoder
	at      api.Progress
	last    ledger.Result
	changed []catalog.Ref // what the fleet must have in force, over all chunks
}

// importAll applies a body of any size. The status is 200 once the body is
// being read; how it ended is in the last line.
func (s *Server) importAll(w http.ResponseWriter, r *http.Request) error {
	im, err := s.startImport(w, r)
	if err != nil {
		return err
	}
	// The answer begins before the body ends.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
		return fmt.Errorf("answer while reading: %w", err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	for {
		docs, last, err := im.chunk()
		if err == nil && len(docs) > 0 {
			err = im.carryOut(docs)
		}
		if err != nil {
			im.fail(err)
			return nil
		}
		if last {
			im.finish()
			return nil
		}
	}
}

func (s *Server) startImport(w http.ResponseWriter, r *http.Request) (*importing, error) {
	wr, err := startWrite(r, "id", "deploy")
	if err != nil {
		return nil, err
	}
	if err := unconditional(r); err != nil {
		return nil, err
	}
	deploy, err := wr.params.flag("deploy", true)
	if err != nil {
		return nil, err
	}
	if _, err := bodyFormat(r, "application/yaml", "application/x-ndjson", "application/json"); err != nil {
		return nil, err
	}
	id, err := importID(wr)
	if err != nil {
		return nil, err
	}
	body := &countingReader{w: w, r: r.Body}
	return &importing{
		Server: s, w: w, r: r, wr: wr, deploy: deploy, body: body,
		scanner: resource.NewScanner("", body), lines: json.NewEncoder(w), at: api.Progress{ID: id},
	}, nil
}

// importID names the import: as the caller says, by the Idempotency-Key, or at random.
func importID(wr writing) (string, error) {
	id, given := wr.params["id"]
	switch {
	case given && (len(id) > longestImport || !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(id)):
		return "", badRequest(fmt.Sprintf("id=%q is not a name of 1 to %d characters of A-Z, a-z, 0-9, dot, underscore and dash", id, longestImport))
	case given:
		return id, nil
	case wr.key != "":
		sum := sha256.Sum256([]byte(wr.key))
		return hex.EncodeToString(sum[:16]), nil
	}
	return strings.ToLower(ulid.Make().String()), nil
}

// chunk reads the next resources; last: the body ended after them. The same
// body always gives the same chunks, which is what makes an import resumable.
func (im *importing) chunk() (docs []resource.Document, last bool, err error) {
	size := 0
	for len(docs) < chunkResources && size < chunkBytes {
		doc, err := im.scanner.Next()
		if errors.Is(err, io.EOF) {
			return docs, true, nil
		}
		if faults, ok := errors.AsType[fault.List](err); ok {
			return nil, false, im.moreFaults(docs, size, faults)
		}
		if err != nil {
			return nil, false, err
		}
		docs = append(docs, doc)
		size += proto.Size(doc.Resource)
	}
	return docs, false, nil
}

// moreFaults reads the bad chunk to its end, to name all that is wrong with it at once.
func (im *importing) moreFaults(docs []resource.Document, size int, faults fault.List) error {
	const enough = 100
	for n := len(docs); n < chunkResources && size < chunkBytes && len(faults) < enough; n++ {
		doc, err := im.scanner.Next()
		if more, ok := errors.AsType[fault.List](err); ok {
			faults = append(faults, more...)
			continue
		}
		if err != nil {
			break
		}
		size += proto.Size(doc.Resource)
	}
	return faults
}

// carryOut applies one chunk and reports it. A chunk that the log holds is not applied again.
func (im *importing) carryOut(docs []resource.Document) error {
	im.at.Chunk++
	list := resources(docs)
	key, err := chunkKey(im.at.ID, im.at.Chunk, im.deploy, list)
	if err != nil {
		return err
	}
	cmd := command.Import{Name: im.at.ID, Chunk: im.at.Chunk, Resources: list, Deploy: im.deploy}
	meta := ledger.Meta{Actor: actorOf(im.r.Context()), IdempotencyKey: key, AllowSkew: im.wr.skew}
	result, err := im.submitChunk(cmd, meta)
	if err != nil {
		return located(docs, err)
	}
	im.audit(im.r, cmd, result)
	if !result.Repeated {
		im.metrics.imported.Add(float64(len(docs)))
	}
	im.last, im.changed = result, concerns(im.changed, result)
	im.at.Resources += len(docs)
	im.at.Bytes = im.body.n
	im.at.Skipped, im.at.Sequence = result.Repeated, result.Sequence
	return im.say(im.at)
}

// submitChunk tries again for a while: an import of an hour should outlive an
// election of the log's servers. The key makes the repetition safe.
func (im *importing) submitChunk(cmd command.Command, meta ledger.Meta) (ledger.Result, error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		result, err := im.ledger.Submit(im.r.Context(), cmd, meta)
		passing := errors.Is(err, ledger.ErrUncertain) || errors.Is(err, ledger.ErrContended) ||
			errors.Is(err, ledger.ErrTimeout) || errors.Is(err, ledger.ErrUnavailable)
		if !passing || attempt == attempts {
			return result, err
		}
		select {
		case <-time.After(time.Duration(attempt) * time.Second):
		case <-im.r.Context().Done():
			return result, err
		}
	}
}

// chunkKey is import:<id>:<chunk>:<hash>; the hash is of what is asked, so that
// a corrected chunk is a new one.
func chunkKey(id string, chunk int, deploy bool, list []catalog.Resource) (string, error) {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%t", deploy)
	for _, r := range list {
		if err := hashResource(sum, r); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s%s:%d:%x", importPrefix, id, chunk, sum.Sum(nil)[:16]), nil
}

func hashResource(sum hash.Hash, r catalog.Resource) error {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode %s: %w", refOf(r), err)
	}
	_, _ = fmt.Fprintf(sum, "\n%s %d ", catalog.KindName(catalog.KindOf(r)), len(encoded))
	_, _ = sum.Write(encoded)
	return nil
}

// say sends one line at once.
func (im *importing) say(line api.Progress) error {
	extendWrite(im.w, pieceTime)
	if err := im.lines.Encode(line); err != nil {
		return fmt.Errorf("answer the import: %w", err)
	}
	return http.NewResponseController(im.w).Flush()
}

// finish says that all is done, after the fleet has it if that was asked.
func (im *importing) finish() {
	im.at.Done, im.at.Skipped, im.at.Chunks, im.at.Chunk, im.at.Bytes = true, false, im.at.Chunk, 0, im.body.n
	if im.wr.wait && im.at.Chunks > 0 {
		extendWrite(im.w, im.wr.timeout+pieceTime)
		im.at.Fleet, _ = im.waitFleet(im.r.Context(), im.wr.timeout,
			fleet.Change{Epoch: im.last.Epoch, Sequence: im.last.Sequence, Concerns: im.changed})
	}
	if err := im.say(im.at); err != nil {
		im.logger.LogAttrs(im.r.Context(), slog.LevelWarn, "import done, nobody listens", slog.String("import", im.at.ID))
	}
}

// fail ends the answer with what is wrong and how to go on.
func (im *importing) fail(err error) {
	if im.r.Context().Err() != nil && !errors.Is(context.Cause(im.r.Context()), context.DeadlineExceeded) {
		panic(http.ErrAbortHandler) // the client has gone
	}
	line := api.Progress{
		ID: im.at.ID, Chunk: im.at.Chunk, Resources: im.at.Resources, Bytes: im.body.n, Sequence: im.at.Sequence,
		Error: err.Error(), ResumeWith: "id=" + im.at.ID,
	}
	p := toProblem(err)
	switch {
	case p != nil:
	case im.body.err != nil:
		p = badRequest("the body broke off: " + im.body.err.Error())
	default:
		im.logger.LogAttrs(im.r.Context(), slog.LevelError, "import failed", slog.String("import", im.at.ID), slog.Any("error", err))
		p = internal()
	}
	line.Error, line.Status, line.Errors = p.Detail, p.Status, p.Errors
	for _, f := range line.Errors {
		if f.Line > 0 {
			line.Line = f.Line
			break
		}
	}
	_ = im.say(line) // the client may have gone
}

// countingReader counts what was read, and gives each read its time.
type countingReader struct {
	w   http.ResponseWriter
	r   io.Reader
	n   int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	extendRead(c.w, bodyTime)
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
