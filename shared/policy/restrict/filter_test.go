package restrict_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/policy/restrict"
)

func pattern(path string, methods ...string) *pb.ResourcePattern {
	return &pb.ResourcePattern{Path: path, Methods: methods}
}

func filter(t testing.TB, f *pb.ResourceFilter) *restrict.Filter {
	t.Helper()
	compiled := restrict.NewFilter(f)
	return compiled
}

func TestPatterns(t *testing.T) {
	tests := []struct {
		pattern   string
		match     []string
		different []string
	}{
		{"/", []string{"", "/"}, []string{"/a"}},
		{"/v1", []string{"/v1", "/v1/"}, []string{"", "/v1/a", "/v12", "/V1", "/v1;x"}},
		{"/**", []string{"", "/", "/a", "/a/b/c"}, nil},
		{"/v1/**", []string{"/v1", "/v1/", "/v1/a", "/v1/a/b"}, []string{"", "/v2", "/v11/a"}},
		{"/v1/*", []string{"/v1/a", "/v1/a/"}, []string{"/v1", "/v1/", "/v1/a/b"}},
		{"/*/admin", []string{"/x/admin"}, []string{"/admin", "/x/y/admin", "/x/admins"}},
		{"/**/admin", []string{"/admin", "/x/admin", "/x/y/admin", "/admin/admin"}, []string{"/", "/admin/x", "/xadmin"}},
		{"/**/a/b", []string{"/a/b", "/a/a/b", "/a/b/a/b", "/a/c/a/b"}, []string{"/a", "/a/b/c", "/b"}},
		{"/a/**/b/**/c", []string{"/a/b/c", "/a/x/b/y/c", "/a/b/b/c/c"}, []string{"/a/c", "/a/b", "/a/b/c/d"}},
		{"/**/**/x", []string{"/x", "/a/b/x"}, []string{"/x/y"}},
		{"/files/*.json", []string{"/files/a.json", "/files/.json"}, []string{"/files/a.json5", "/files/a/b.json"}},
		{"/v*/a*b*c", []string{"/v1/abc", "/v/aXbYc", "/v1/abcbc"}, []string{"/v1/ab", "/w/abc"}},
		{"/v1/", []string{"/v1", "/v1/"}, []string{"/v1/a"}},
	}
	for _, tt := range tests {
		f := filter(t, &pb.ResourceFilter{Allow: []*pb.ResourcePattern{pattern(tt.pattern)}})
		for _, path := range tt.match {
			if err := f.Permit([]byte("GET"), []byte(path)); err != nil {
				t.Errorf("%s does not match %q", tt.pattern, path)
			}
		}
		for _, path := range tt.different {
			if err := f.Permit([]byte("GET"), []byte(path)); err != denial.ResourceForbidden {
				t.Errorf("%s on %q: got %v, want %v", tt.pattern, path, err, denial.ResourceForbidden)
			}
		}
	}
}

func TestPermit(t *testing.T) {
	contract := &pb.ResourceFilter{
		Allow: []*pb.ResourcePattern{pattern("/v1/**", "GET", "POST"), pattern("/v1/items", "put"), pattern("/open/**")},
		Deny:  []*pb.ResourcePattern{pattern("/v1/admin/**"), pattern("/open/**", "DELETE"), pattern("/open/x")},
	}
	onlyDeny := &pb.ResourceFilter{Deny: []*pb.ResourcePattern{pattern("/secret"), pattern("/**", "DELETE")}}
	noneLeft := &pb.ResourceFilter{Allow: []*pb.ResourcePattern{pattern("/a", "GET")}, Deny: []*pb.ResourcePattern{pattern("/a", "GET")}}
	every := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	allow := error(nil)
	tests := []struct {
		filter       *pb.ResourceFilter
		method, path string
		want         error
		methods      []string // for Allow, if refused
	}{
		{nil, "BREW", "/x", allow, nil},
		{&pb.ResourceFilter{}, "GET", "/x", allow, nil},
		{contract, "GET", "/v1/a", allow, nil},
		{contract, "POST", "/v1", allow, nil},
		{contract, "PUT", "/v1/items", allow, nil},
		{contract, "GET", "/v2", denial.ResourceForbidden, nil},
		{contract, "GET", "/", denial.ResourceForbidden, nil},
		{contract, "DELETE", "/v1/a", denial.MethodNotAllowed, []string{"GET", "POST"}},
		{contract, "DELETE", "/v1/items", denial.MethodNotAllowed, []string{"GET", "POST", "PUT"}},
		{contract, "get", "/v1/a", denial.MethodNotAllowed, []string{"GET", "POST"}},

		// Deny is stronger.
		{contract, "GET", "/v1/admin", denial.ResourceForbidden, nil},
		{contract, "GET", "/v1/admin/", denial.ResourceForbidden, nil},
		{contract, "GET", "/v1/admin/users", denial.ResourceForbidden, nil},
		{contract, "GET", "/v1/admin;x=1/users", denial.ResourceForbidden, nil},
		{contract, "GET", "/v1/administrators", allow, nil},
		{contract, "DELETE", "/open/a", denial.MethodNotAllowed, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"}},
		{contract, "delete", "/open/a", denial.MethodNotAllowed, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"}},
		{contract, "PROPFIND", "/open/a", allow, nil},
		{contract, "GET", "/open/x", denial.ResourceForbidden, nil},

		{noneLeft, "GET", "/a", denial.ResourceForbidden, nil},

		{onlyDeny, "GET", "/a", allow, nil},
		{onlyDeny, "GET", "/secret", denial.ResourceForbidden, nil},
		{onlyDeny, "GET", "/secret;v=1", denial.ResourceForbidden, nil},
		{onlyDeny, "GET", "/secret%3Bv=1", denial.ResourceForbidden, nil},
		{onlyDeny, "GET", "/secret%3Bv;w/", denial.ResourceForbidden, nil},
		{onlyDeny, "DELETE", "/a", denial.MethodNotAllowed, slices.DeleteFunc(slices.Clone(every), func(m string) bool { return m == "DELETE" })},
	}
	for _, tt := range tests {
		f := filter(t, tt.filter)
		if got := f.Permit([]byte(tt.method), []byte(tt.path)); !errors.Is(got, tt.want) {
			t.Errorf("%s %s: got %v, want %v", tt.method, tt.path, got, tt.want)
		}
		if tt.methods == nil {
			continue
		}
		if got := f.Methods([]byte(tt.path)); !slices.Equal(got, tt.methods) {
			t.Errorf("methods of %s: got %v, want %v", tt.path, got, tt.methods)
		}
	}
}

// FuzzPattern compares with the obvious recursive definition.
func FuzzPattern(f *testing.F) {
	f.Add("/a/**/b/*", "/a/x/y/b/c")
	f.Add("/**", "/")
	f.Add("/**/a/**/a", "/a/b/a")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if !strings.HasPrefix(pattern, "/") || !strings.HasPrefix(path, "/") || len(pattern) > 40 || len(path) > 40 {
			return
		}
		compiled := restrict.NewFilter(&pb.ResourceFilter{Allow: []*pb.ResourcePattern{{Path: pattern}}})
		got := compiled.Permit([]byte("GET"), []byte(path)) == nil
		if want := matches(split(pattern), split(path)); got != want {
			t.Errorf("%q on %q: got %v, want %v", pattern, path, got, want)
		}
	})
}

func split(path string) []string {
	if path = strings.Trim(path, "/"); path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func matches(pattern, path []string) bool {
	switch {
	case len(pattern) == 0:
		return len(path) == 0
	case pattern[0] == "**":
		return matches(pattern[1:], path) || len(path) > 0 && matches(pattern, path[1:])
	case len(path) == 0:
		return false
	case pattern[0] == "*" && path[0] == "":
		return false
	default:
		return matchesText(pattern[0], path[0]) && matches(pattern[1:], path[1:])
	}
}

func matchesText(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return matchesText(pattern[1:], text) || text != "" && matchesText(pattern, text[1:])
	default:
		return text != "" && pattern[0] == text[0] && matchesText(pattern[1:], text[1:])
	}
}
