package admin

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/portcullis-gateway/portcullis/gateway/internal/request"
)

// maxExplain bounds the body of /explain.
const maxExplain = 256 << 10

// question is the body of /explain: a request as a client would send it.
type question struct {
	// Method is GET if it is absent.
	Method string `json:"method"`
	// URL is absolute: scheme, host, path and query.
	URL string `json:"url"`
	// Host and Path, which may have a query behind it, stand in place of URL.
	Host string `json:"host"`
	Path string `json:"path"`
	// Headers have a string or a list of strings for each name.
	Headers map[string]values `json:"headers"`
	// Token is sent as Authorization: Bearer.
	Token string `json:"token"`
	// Client is the client's address.
	Client string `json:"client"`
	// Certificate is the client's TLS certificate, in PEM, with what comes behind
	// it. That the client has its key is taken for granted.
	Certificate string `json:"certificate"`
}

// values are one or more strings.
type values []string

// UnmarshalJSON implements json.Unmarshaler.
func (v *values) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*v = values{""}
		return json.Unmarshal(b, &(*v)[0])
	}
	return json.Unmarshal(b, (*[]string)(v))
}

func explain(w http.ResponseWriter, r *http.Request, config Config) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxExplain))
	decoder.DisallowUnknownFields()
	var q question
	err := decoder.Decode(&q)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one JSON value")
		}
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, fmt.Errorf("read the request to explain: %w", err))
		return
	}
	asked, err := q.request(time.Now())
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	answer, err := config.Explain(asked)
	if err != nil {
		writeError(w, http.StatusServiceUnavailable, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// explainRefusal answers a question about a request of the past.
func explainRefusal(w http.ResponseWriter, r *http.Request, config Config) {
	id := r.URL.Query().Get("request_id")
	if id == "" {
		writeError(w, http.StatusBadRequest, errors.New("request_id is needed: the X-Request-Id of a refused request's answer (hint: POST asks about a request that you describe)"))
		return
	}
	answer, err := config.ExplainRefusal(id)
	if err != nil {
		writeError(w, http.StatusNotFound, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// request makes of q what a front would make of such a request.
func (q *question) request(now time.Time) (*request.Request, error) {
	r := &request.Request{Method: []byte(q.Method), Now: now.Unix()}
	if q.Method == "" {
		r.Method = []byte("GET")
	}
	if err := q.locate(r); err != nil {
		return nil, err
	}
	var err error
	if q.Client != "" {
		if r.Address, err = netip.ParseAddr(q.Client); err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
	}
	if q.Certificate != "" {
		if r.Certificate, r.Chain, err = parseCertificates(q.Certificate); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	var fields request.Fields
	for name, list := range q.Headers {
		for _, value := range list {
			fields = append(fields, request.Field{Name: name, Value: value})
		}
	}
	if q.Token != "" {
		fields = append(fields, request.Field{Name: "Authorization", Value: "Bearer " + q.Token})
	}
	r.Header = fields
	return r, nil
}

// parseCertificates reads the client's certificate and those that come behind it.
func parseCertificates(text string) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, nil, errors.New("it has something else than certificates")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("parse it: %w", err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, nil, errors.New("it has no certificate in PEM")
	}
	return chain[0], chain[1:], nil
}

// locate finds the canonical host and path. What it says of a fault does not
// repeat the target, which may have a credential in its query.
func (q *question) locate(r *request.Request) error {
	field, authority, origin := "url", []byte(q.Host), []byte(q.Path)
	if q.URL == "" && (q.Host != "" || q.Path != "") {
		field = "host and path"
		if q.Host == "" || q.Path == "" {
			return errors.New("host and path: both are needed in place of url")
		}
	} else {
		scheme, fromURL, target, err := request.SplitTarget([]byte(q.URL))
		switch {
		case err != nil || scheme == "":
			return errors.New("url: it is not an absolute http or https URL")
		case q.Host != "" || q.Path != "":
			return errors.New("url: host and path stand in place of it, not beside it")
		}
		authority, origin, r.Secure = fromURL, target, scheme == "https"
	}
	var err error
	if r.Host, r.Port, err = request.CanonicalHost(nil, authority); err != nil {
		return fmt.Errorf("%s: %w: the gateway answers 400", field, err)
	}
	if r.Path, r.Query, err = request.Canonical(nil, origin); err != nil {
		return fmt.Errorf("%s: %w: the gateway answers 400", field, err)
	}
	return nil
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
