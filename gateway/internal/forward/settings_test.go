package forward

import (
	"fmt"
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/exchange"
	"github.com/portcullis-gateway/portcullis/shared/compile"
)

func TestPreview(t *testing.T) {
	s := Settings{&compile.Upstream{StripContextPath: true}}
	f := &exchange.Forward{Path: []byte("/api/x"), Rest: 4, Query: []byte("q")}
	if got := s.Preview(f); got != "/x" || string(f.Query) != "q" {
		t.Errorf("got %q", got)
	}
}

func TestWeights(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		want    string
	}{
		{[]uint32{1}, "0"},
		{[]uint32{5, 1, 1}, "0010200"},
		{[]uint32{2, 2}, "01"},
		{[]uint32{100, 300}, "1011"},
		{[]uint32{0, 0}, ""},
	} {
		got := ""
		for _, i := range schedule(test.weights) {
			got += fmt.Sprint(i)
		}
		if got != test.want {
			t.Errorf("schedule(%v) = %s, want %s", test.weights, got, test.want)
		}
	}
	if n := len(schedule([]uint32{1, 4_000_000_000})); n > maxSchedule+2 {
		t.Errorf("a schedule of %d steps", n)
	}
}
