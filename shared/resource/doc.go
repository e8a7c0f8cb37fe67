// Package resource turns YAML and JSON text into resources and back.
//
// There is no second model: one reflective decoder fills the messages of
// proto/portcullis/v1 from an intermediate tree that knows the line of every
// field, and both formats are read into that tree. So YAML and JSON accept the
// same fields and give the same errors, and a new field of the schema needs no
// code here.
//
// Decoding is strict, because a misspelt field that is ignored opens a door:
// unknown fields, duplicate members, wrong types and trailing data are faults,
// all of them are reported at once (a fault.List), and each names file, line, field
// and cure.
// Input is bounded: 1 MiB and 32 levels for a document, 64 MiB for a file;
// Scanner reads streams of any size in bounded memory.
//
// Whether the values make sense together is not decided here but by catalog;
// Locate puts file and line to what it finds.
//
// All functions are safe for concurrent use; a Scanner is not.
package resource
