package resource

import (
	"bytes"
	"errors"
	"io"
	"slices"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// MaxFile bounds what DecodeYAML takes, in bytes. Scanner has no such limit.
const MaxFile = 64 << 20

// Document is a resource and where it stands.
type Document struct {
	Resource catalog.Resource
	File     string
	// Line counts from 1.
	Line int
	root *node
}

// Position is the line and column of a field like "upstream.targets[0].url";
// where the text does not have it, of the nearest thing around it.
func (d Document) Position(field string) (line, column int) {
	if d.root == nil {
		return d.Line, 0
	}
	return d.root.position(field)
}

// DecodeYAML reads all documents of a file; the file may also hold JSON, in
// the forms that Scanner takes. On a fault it returns no documents, and a
// fault.List with all faults of the file. A document may lack its id, not its kind.
func DecodeYAML(file string, data []byte) ([]Document, error) {
	var all faults
	if len(data) > MaxFile {
		all.add(fault.Fault{File: file, Message: "the file is larger than 64 MiB", Hint: "use import for large amounts"})
		return nil, all.err()
	}
	var docs []Document
	for s := NewScanner(file, bytes.NewReader(data)); ; {
		doc, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if es, ok := errors.AsType[fault.List](err); ok {
			for _, e := range es {
				all.add(e)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	return docs, nil
}

// DecodeJSON reads one resource, such as a request's body; name is its name in
// errors. With a kind, the text need not have the member `kind` but may not
// contradict it; with KIND_UNSPECIFIED the text must say. The error is a
// fault.List.
func DecodeJSON(name string, data []byte, kind pb.Kind) (catalog.Resource, error) {
	var faults faults
	if len(data) > MaxDocument {
		faults.add(fault.Fault{File: name, Message: "the document is larger than 1 MiB"})
		return nil, faults.err()
	}
	if at := invalidUTF8(data); at >= 0 {
		faults.add(fault.Fault{File: name, Line: 1 + bytes.Count(data[:at], []byte{'\n'}), Message: "the text is not UTF-8"})
		return nil, faults.err()
	}
	var r catalog.Resource
	if root := parseJSON(name, data, 1, &faults); root != nil {
		r = decode(name, root, kind, &faults)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return r, nil
}

// DecodeAnswer reads a resource as the control plane answers it: with the fields that
// are output only, of any kind, and without those that a later version added. kind is
// what DecodeJSON takes. The error is a fault.List.
func DecodeAnswer(data []byte, kind pb.Kind) (catalog.Resource, error) {
	var faults faults
	d := &decoder{faults: &faults, path: make([]byte, 0, 64), answer: true}
	var r catalog.Resource
	if root := parseJSON("", data, 1, &faults); root != nil {
		r = d.resourceOf(root, kind)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return r, nil
}

// Locate puts file and line to faults: each at its field in the document of
// its resource, at the document if the field is not written there, and without
// a position if no document has the resource. The error is a fault.List; nil without faults.
func Locate(docs []Document, found fault.List) error {
	if len(found) == 0 {
		return nil
	}
	byRef := make(map[catalog.Ref]*Document, len(docs))
	for i := range docs {
		r := docs[i].Resource
		byRef[catalog.Ref{Kind: catalog.KindOf(r), ID: r.GetId()}] = &docs[i]
	}
	es := slices.Clone(found)
	for i := range es {
		f := &es[i]
		if d := byRef[catalog.Ref{Kind: catalog.KindByName(f.Kind), ID: f.ID}]; d != nil {
			f.File = d.File
			f.Line, f.Column = d.Position(f.Field)
		}
	}
	return es
}
