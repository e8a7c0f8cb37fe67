package pipeline

import (
	"bytes"
	"errors"
	"strings"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
	"github.com/portcullis-gateway/portcullis/shared/compile"
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/header"
)

// credential is what a request brought. The zero credential: none.
type credential struct {
	value   []byte // belongs to the request
	kind    compile.CredentialKind
	sources uint64 // a bit for each of the Api's sources that found it
	place   compile.Location
	// The scheme of Authorization that a token came with; neither: from elsewhere.
	bearer, dpop bool
}

// find collects the one credential of a request from where the Api's plans take it.
func (a *Api) find(r *request.Request) (credential, error) {
	var found credential
	for i := range a.def.Sources {
		c, err := find(&a.def.Sources[i], r)
		if err != nil {
			return credential{}, err
		}
		if c.kind == compile.NoCredential {
			continue
		}
		if found.kind != compile.NoCredential && !found.same(&c) {
			return credential{}, denial.InvalidRequest.Because(cause.CredentialAmbiguous)
		}
		c.sources = found.sources | 1<<i
		found = c
	}
	return found, nil
}

// same reports whether two sources have found one thing.
func (c *credential) same(other *credential) bool {
	return c.kind == other.kind && c.place == other.place && bytes.Equal(c.value, other.value)
}

func find(s *compile.Source, r *request.Request) (credential, error) {
	switch {
	case s.Kind == compile.KeyCredential:
		return findKey(s, r)
	case s.From != nil:
		return evaluate(s, r)
	default:
		return findBearer(s, r)
	}
}

// findBearer reads Authorization: Bearer (RFC 6750 section 2.1) and, if a plan of
// the Api takes it, Authorization: DPoP (RFC 9449 section 7.1).
func findBearer(s *compile.Source, r *request.Request) (credential, error) {
	value, count := r.Header.Get("Authorization")
	if count > 1 {
		return credential{}, denial.InvalidRequest.Because(cause.CredentialAmbiguous)
	}
	if token, ok := cutScheme(value, "bearer"); ok {
		return credential{value: token, kind: compile.TokenCredential, place: s.Location, bearer: true}, nil
	}
	if s.DPoP {
		if token, ok := cutScheme(value, "dpop"); ok {
			return credential{value: token, kind: compile.TokenCredential, place: s.Location, dpop: true}, nil
		}
	}
	return credential{}, nil
}

// cutScheme returns what follows a scheme (in any case) and its blanks. What has
// that scheme but no token, or something else than a blank behind it, gives an
// empty token.
func cutScheme(value []byte, scheme string) (token []byte, ok bool) {
	if len(value) < len(scheme) || !strings.EqualFold(string(value[:len(scheme)]), scheme) {
		return nil, false
	}
	rest := value[len(scheme):]
	if len(rest) > 0 && isTokenChar(rest[0]) {
		return nil, false // another scheme, which begins like this one
	}
	if len(rest) == 0 || rest[0] != ' ' {
		return nil, true
	}
	return bytes.TrimLeft(rest, " "), true
}

// malformed reports whether c cannot be a token by the characters it has. A token
// that was found genuine need not be asked: it has no others. (For a long one
// this takes longer than all the rest: BenchmarkDecide.)
func (c *credential) malformed() bool {
	return c.kind == compile.TokenCredential && !isB64Token(c.value)
}

// isB64Token checks for b64token of RFC 6750 section 2.1.
func isB64Token(token []byte) bool {
	body := bytes.TrimRight(token, "=")
	for _, c := range body {
		if !isAlphanumeric(c) && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return len(body) > 0
}

// isTokenChar tells tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// findKey reads an API key. An empty one is none.
func findKey(s *compile.Source, r *request.Request) (credential, error) {
	var value []byte
	var count int
	if s.Location.Header != "" {
		value, count = r.Header.Get(s.Location.Header)
	} else if len(r.Query) > 0 {
		var text string
		text, count = request.QueryValue(r.Query, s.Location.Query)
		value = []byte(text)
	}
	switch {
	case count > 1:
		return credential{}, denial.InvalidRequest.Because(cause.CredentialAmbiguous)
	case len(value) == 0:
		return credential{}, nil
	}
	return credential{value: value, kind: compile.KeyCredential, place: s.Location}, nil
}

// evaluate asks a plan's token_from. That it looks up something that is not
// there means that there is no token. Any other failure, or a look-up that is
// ambiguous, is a malformed credential: it must not pass for none.
func evaluate(s *compile.Source, r *request.Request) (credential, error) {
	attributes := r.Attributes()
	asked := &recorder{Request: attributes}
	token, err := s.From.Eval(expr.Input{Request: asked})
	switch {
	case attributes.Ambiguous():
		return credential{}, denial.InvalidRequest.Because(cause.CredentialAmbiguous)
	case errors.Is(err, expr.ErrAbsent), err == nil && token == "":
		return credential{}, nil
	case err != nil:
		return credential{}, denial.InvalidRequest.Because(cause.CredentialUnreadable)
	}
	return credential{value: []byte(token), kind: compile.TokenCredential, place: asked.placeOf(token)}, nil
}

// recorder remembers what an expression found in a request, so that the
// credential can be taken out of where it was.
type recorder struct {
	expr.Request
	found []finding
}

type finding struct {
	place compile.Location
	value string
}

// Header implements expr.Request.
func (r *recorder) Header(name string) (string, bool) {
	value, ok := r.Request.Header(name)
	return r.add(compile.Location{Header: header.Canonical(name)}, value, ok)
}

// Query implements expr.Request.
func (r *recorder) Query(name string) (string, bool) {
	value, ok := r.Request.Query(name)
	return r.add(compile.Location{Query: name}, value, ok)
}

// Cookie implements expr.Request.
func (r *recorder) Cookie(name string) (string, bool) {
	value, ok := r.Request.Cookie(name)
	return r.add(compile.Location{Cookie: name}, value, ok)
}

func (r *recorder) add(place compile.Location, value string, ok bool) (string, bool) {
	if ok {
		r.found = append(r.found, finding{place, value})
	}
	return value, ok
}

// placeOf returns where the token was: the first place that has its text, else
// the last that was looked at, whose text the expression has changed.
func (r *recorder) placeOf(token string) compile.Location {
	for _, f := range r.found {
		if strings.Contains(f.value, token) {
			return f.place
		}
	}
	if n := len(r.found); n > 0 {
		return r.found[n-1].place
	}
	return compile.Location{}
}
