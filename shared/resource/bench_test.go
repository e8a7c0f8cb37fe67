package resource_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/resource"
)

func BenchmarkScanner(b *testing.B) {
	for name, text := range map[string]string{"ndjson": smallJSON, "yaml": smallYAML} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			s := resource.NewScanner("f", repeat(text, -1))
			for b.Loop() {
				if _, err := s.Next(); err != nil && !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeJSON(b *testing.B) {
	docs, err := resource.DecodeYAML("f", []byte(smallJSON))
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = resource.AppendJSON(buf[:0], docs[0].Resource)
	}
	if !bytes.Contains(buf, []byte("ACCEPTED")) {
		b.Fatal(string(buf))
	}
}
