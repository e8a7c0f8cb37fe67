package denial

import (
	"encoding/json"
	"net/http"
	"strings"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// formats is the number of error formats of the schema.
const formats = int(pb.Api_FLEX) + 1

// scheme is the kind of credential that a challenge asks for.
type scheme int

// They are bits: a challenge may ask for any of several.
const (
	bearer scheme = 1 << iota
	dpop
	apiKey

	none        scheme = 0
	bearerOrKey        = bearer | apiKey
)

// DPoPAlgorithms are the signature algorithms that a DPoP challenge names (RFC 9449 section 7.1).
const DPoPAlgorithms = "ES256 ES384 ES512 ES256K EdDSA Ed25519 Ed448 PS256 PS384 PS512 RS256 RS384 RS512"

// spec is what a Denial is rendered from.
type spec struct {
	status, code          int
	reason, title, detail string
	// cause is the one that there is; Unspecified: there are several, and who refuses says which.
	cause  cause.Cause
	scheme scheme
	// param is the challenge's error parameter; empty: none, as for missing credentials.
	param, scope         string
	retryAfter           string
	bearerless           bool // WithDPoP: no challenge for a bearer token
	wso2, gravitee, flex foreign
	// wso2Body is for what that product does not answer with a fault object.
	wso2Body string
}

// kind is the scheme that a refusal was defined with, which WithDPoP does not change.
func (s spec) kind() scheme {
	if s.bearerless || s.scheme&bearer != 0 {
		return s.scheme&^dpop | bearer
	}
	return s.scheme
}

// is reports whether clients take two refusals for the same.
func (s spec) is(t spec) bool {
	return s.reason == t.reason && s.status == t.status && s.kind() == t.kind()
}

// foreign is a refusal in the words of another product; a zero status: ours are used.
type foreign struct {
	status  int
	code    int
	message string
	hint    string
}

// define makes a refusal, once for each cause.
func define(s spec) *Denial {
	r := prepare(s)
	r.because = make([]Denial, cause.Count)
	for c := range r.because {
		r.because[c] = Denial{of: r, cause: cause.Cause(c)}
	}
	return &r.because[s.cause]
}

// prepare renders a refusal's answers.
func prepare(s spec) *refusal {
	r := &refusal{spec: s}
	r.answers[pb.Api_PROBLEM] = s.problem()
	r.answers[pb.Api_WSO2] = s.inWSO2()
	r.answers[pb.Api_GRAVITEE] = s.inGravitee()
	r.answers[pb.Api_FLEX] = s.inFlex()
	for i := range r.answers {
		r.answers[i].RetryAfter = s.retryAfter
		if st := r.answers[i].Status; st == s.status || st == http.StatusUnauthorized {
			r.answers[i].Challenge = s.challenge(st)
		}
	}
	return r
}

// problem renders RFC 9457.
func (s spec) problem() Answer {
	return Answer{
		Status: s.status, ContentType: "application/problem+json",
		Body: render(struct {
			Type   string `json:"type"`
			Title  string `json:"title"`
			Status int    `json:"status"`
			Detail string `json:"detail"`
			Code   int    `json:"code,omitempty"`
			Reason string `json:"reason"`
		}{"urn:portcullis:denial:" + s.reason, s.title, s.status, s.detail, s.code, s.reason}),
	}
}

// inWSO2 renders the fault object of WSO2 Microgateway 3.2.
func (s spec) inWSO2() Answer {
	f := s.wso2
	if f.status == 0 {
		f = foreign{status: s.status, code: s.code, message: s.title, hint: s.detail}
		if f.code == 0 {
			f.code = s.status
		}
	}
	if s.wso2Body != "" {
		return Answer{Status: s.status, ContentType: "application/json", Body: []byte(s.wso2Body)}
	}
	type fault struct {
		Code        int    `json:"code"`
		Message     string `json:"message"`
		Description string `json:"description"`
	}
	description := f.message
	switch {
	case s.status == http.StatusTooManyRequests:
		description = f.hint
	case f.hint != "":
		description += ". " + f.hint
	}
	return Answer{
		Status: f.status, ContentType: "application/json",
		Body: render(struct {
			Fault fault `json:"fault"`
		}{fault{f.code, f.message, description}}),
	}
}

// inGravitee renders the body of Gravitee APIM, in JSON and in text.
func (s spec) inGravitee() Answer {
	f := s.gravitee
	if f.status == 0 {
		f = foreign{status: s.status, message: http.StatusText(s.status)}
	}
	return Answer{
		Status: f.status, ContentType: "application/json", Text: []byte(f.message),
		Body: render(struct {
			Message string `json:"message"`
			Status  int    `json:"http_status_code"`
		}{f.message, f.status}),
	}
}

// inFlex renders the body of the policies of MuleSoft Flex Gateway.
func (s spec) inFlex() Answer {
	f := s.flex
	if f.status == 0 {
		f = foreign{status: s.status, message: http.StatusText(s.status)}
	}
	return Answer{
		Status: f.status, ContentType: "application/json",
		Body: render(struct {
			Error string `json:"error"`
		}{f.message}),
	}
}

// challenge renders the WWW-Authenticate field. A 401 must carry one (RFC 9110
// section 15.5.2), also where another product turned a 403 into it.
func (s spec) challenge(status int) string {
	auth := s.scheme
	if auth == none {
		if status != http.StatusUnauthorized {
			return ""
		}
		auth = bearer
	}
	var all []string
	for _, known := range []struct {
		scheme scheme
		name   string
	}{{bearer, "Bearer"}, {dpop, "DPoP"}, {apiKey, "ApiKey"}} {
		if auth&known.scheme == 0 {
			continue
		}
		one := known.name + ` realm="` + Realm + `"` + s.params(status)
		if known.scheme == dpop {
			one += `, algs="` + DPoPAlgorithms + `"`
		}
		all = append(all, one)
	}
	return strings.Join(all, ", ")
}

// params are the challenge's parameters that say what is wrong.
func (s spec) params(status int) string {
	param := s.param
	if param == "" {
		return ""
	}
	if status == http.StatusUnauthorized && param == "insufficient_scope" {
		param = "invalid_token" // RFC 6750 section 3.1 ties insufficient_scope to 403
	}
	c := `, error="` + param + `", error_description="` + s.detail + `"`
	if s.scope != "" {
		c += `, scope="` + s.scope + `"`
	}
	return c
}

func render(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: render a denial: " + err.Error())
	}
	return b
}
