package compile

import (
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/keyset"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// Bounds of the schema.
const (
	MaxID   = 128
	maxText = 8 << 10 // of one string
	// MaxList bounds one repeated field.
	MaxList        = 1000
	maxResource    = 256 << 10 // encoded
	day            = 24 * time.Hour
	maxRequestBody = 4 << 30
)

// Check returns what is wrong with one resource, whatever else exists: nil if
// nothing is. It writes hashes in the one form that is stored: lower case, without
// colons. A resource that passes can be compiled wherever its secrets can be read.
func Check(r catalog.Resource) fault.List {
	switch m := r.(type) {
	case *pb.Issuer:
		_, faults := NewIssuer(m, nil, keyset.Secrets{})
		return faults
	case *pb.Plan:
		_, faults := newPlan(m)
		return faults
	}
	c := checker{id: r.GetId()}
	if !c.message(r) {
		return c.faults
	}
	switch m := r.(type) {
	case *pb.Api:
		c.api(m)
	case *pb.Application:
		c.application(m)
	case *pb.Subscription:
		c.subscription(m)
	case *pb.Revocation:
		c.revocation(m)
	default:
		c.bad("kind", "%s is written by the control plane only", catalog.KindName(catalog.KindOf(r)))
	}
	return c.faults
}

// checker collects the faults of one resource.
type checker struct {
	id     string
	faults fault.List
}

func (c *checker) bad(field, format string, args ...any) {
	c.add(fault.Fault{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) hint(field, hint, format string, args ...any) {
	c.add(fault.Fault{Field: field, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (c *checker) twice(field, format string, args ...any) {
	c.add(fault.Fault{Field: field, Code: fault.Conflict, Message: fmt.Sprintf(format, args...)})
}

// add notes faults; those that name no code are Invalid.
func (c *checker) add(faults ...fault.Fault) {
	for _, f := range faults {
		if f.Code == "" {
			f.Code = fault.Invalid
		}
		c.faults = append(c.faults, f)
	}
}

// message checks what holds for every message: its size, and that this version
// knows all that it says. What is not known cannot be enforced.
func (c *checker) message(m proto.Message) bool {
	if n := proto.Size(m); n > maxResource {
		c.bad("", "is %d bytes, more than %d", n, maxResource)
		return false
	}
	if field, why := unknown(m.ProtoReflect(), ""); why != "" {
		c.hint(field, "upgrade this process", "%s, which this version does not know", why)
		return false
	}
	return true
}

// ValidID reports whether an id is 1 to 128 characters of [a-z0-9._-].
func ValidID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		b := id[i]
		if !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-') {
			return false
		}
	}
	return true
}

// text checks a string that people or peers read.
func (c *checker) text(field, s string, required bool) {
	switch {
	case s == "" && required:
		c.bad(field, "is required")
	case len(s) > maxText:
		c.bad(field, "is %d bytes, more than %d", len(s), maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f }):
		c.bad(field, "holds a control character")
	}
}

func (c *checker) list(field string, n int) bool {
	if n > MaxList {
		c.bad(field, "has %d members, more than %d", n, MaxList)
		return false
	}
	return true
}

// texts checks a list of required strings.
func (c *checker) texts(field string, list []string) {
	if !c.list(field, len(list)) {
		return
	}
	for i, s := range list {
		c.text(fmt.Sprintf("%s[%d]", field, i), s, true)
		if slices.Index(list, s) < i {
			c.bad(fmt.Sprintf("%s[%d]", field, i), "%q is written twice", mask.URL(s))
		}
	}
}

// duration checks bounds; absent is fine.
func (c *checker) duration(field string, d *durationpb.Duration, least, most time.Duration) {
	if d == nil {
		return
	}
	if err := d.CheckValid(); err != nil {
		c.bad(field, "is not a duration: %v", err)
		return
	}
	if v := d.AsDuration(); v < least || v > most {
		c.bad(field, "is %s; %s to %s are allowed", v, least, most)
	}
}

func (c *checker) time(field string, t *timestamppb.Timestamp) {
	if t != nil && t.CheckValid() != nil {
		c.bad(field, "is not a time between the years 1 and 9999")
	}
}

func (c *checker) roots(field, pem string) {
	if pem != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		c.bad(field, "holds no certificate in PEM")
	}
}

// Patterns of the schema. Nodes compile with every change, so they are made once.
var (
	pathPattern   = regexp.MustCompile(`^/$|^(/[A-Za-z0-9._~!$&'()*+,=:@-]+)+$`)
	hostPattern   = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	tokenPattern  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$") // RFC 9110 section 5.6.2
	scopePattern  = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,256}$`)   // RFC 6749 section 3.3
	methodPattern = regexp.MustCompile(`^[A-Z]{1,32}$`)
)

// dotSegment reports whether a path has a segment that normalisation would resolve.
func dotSegment(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

func (c *checker) api(m *pb.Api) *Upstream {
	c.text("name", m.GetName(), false)
	c.text("version", m.GetVersion(), false)
	c.text("description", m.GetDescription(), false)
	c.contextPath(m.GetContextPath())
	c.hosts(m.GetHosts())
	upstream := c.upstream(m.GetUpstream())
	if p := m.GetProtectedResource(); p != nil {
		c.url("protected_resource.resource", p.GetResource(), false)
		if d := p.GetDocumentation(); d != "" {
			c.url("protected_resource.documentation", d, true)
		}
	}
	return upstream
}

func (c *checker) contextPath(p string) {
	switch {
	case p == "":
		c.hint("context_path", "write /"+c.id, "is required")
	case !strings.HasPrefix(p, "/"):
		c.hint("context_path", "write /"+strings.TrimSuffix(p, "/"), "%.200q does not start with a slash", p)
	case p != "/" && strings.HasSuffix(p, "/"):
		c.hint("context_path", "write "+strings.TrimRight(p, "/"), "%.200q ends with a slash", p)
	case !canonicalPath(p):
		c.bad("context_path", "%.200q is not a canonical path: segments of letters, digits and -._~!$&'()*+,=:@", p)
	case reservedPath(p):
		c.bad("context_path", "%.200q is where gateways answer themselves", p)
	}
}

func canonicalPath(p string) bool {
	return len(p) <= 1024 && !dotSegment(p) && pathPattern.MatchString(p)
}

func (c *checker) hosts(hosts []string) {
	c.texts("hosts", hosts)
	for i, h := range hosts {
		field := fmt.Sprintf("hosts[%d]", i)
		if !hostName(h) {
			c.hint(field, "no scheme, port or path", "%.200q is neither a host name nor *.suffix", h)
		}
		other := slices.IndexFunc(hosts[:i], func(o string) bool { return strings.EqualFold(o, h) })
		if other >= 0 && hosts[other] != h { // texts says it of those that are the same to the letter
			c.hint(field, "host names are compared without regard to case", "%.200q is written twice: hosts[%d] is %.200q", h, other, hosts[other])
		}
	}
}

func hostName(h string) bool { return len(h) <= 253 && hostPattern.MatchString(h) }
