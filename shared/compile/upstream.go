package compile

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/mask"
)

// Defaults of an Upstream's settings.
const (
	defaultConnectTimeout  = 2 * time.Second
	defaultResponseTimeout = 30 * time.Second
	defaultMaxRequestBody  = 10 << 20
	maxWeight              = 1_000_000
)

// Upstream says where an Api's requests go, and how. Immutable.
type Upstream struct {
	// Targets are those of production, at least one. Sandbox may be empty.
	Targets, Sandbox []Target
	// TLS is how targets with Secure are met.
	TLS TLS
	// StripContextPath: targets do not get the Api's context path.
	StripContextPath bool
	// PreserveHost: targets get the client's Host.
	PreserveHost                    bool
	ConnectTimeout, ResponseTimeout time.Duration
	// MaxRequestBody in bytes.
	MaxRequestBody int64
}

// Target is one server.
type Target struct {
	// Address is host and port.
	Address string
	// Name is the host's name or address alone; Host is for the Host field.
	Name, Host string
	Secure     bool
	// Prefix of the path, without a trailing slash.
	Prefix string
	// Weight is its share among the targets, above 0.
	Weight uint32
}

// TLS is how a gateway trusts targets.
type TLS struct {
	// CAPEM and Roots are the same authorities; empty and nil: those of the system.
	CAPEM string
	Roots *x509.CertPool
	// ServerName that certificates must have; empty: the target's host.
	ServerName string
	// InsecureSkipVerify: certificates are not looked at.
	InsecureSkipVerify bool
}

// NewUpstream compiles upstream settings alone. The faults name the field.
func NewUpstream(m *pb.Upstream) (*Upstream, fault.List) {
	c := checker{}
	u := c.upstream(m)
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return u, nil
}

func (c *checker) upstream(u *pb.Upstream) *Upstream {
	if u == nil {
		u = new(pb.Upstream)
	}
	if len(u.GetTargets()) == 0 {
		c.bad("upstream.targets", "at least one target is required")
	}
	c.duration("upstream.connect_timeout", u.GetConnectTimeout(), time.Millisecond, 10*time.Minute)
	c.duration("upstream.response_timeout", u.GetResponseTimeout(), time.Millisecond, time.Hour)
	body := uint64(defaultMaxRequestBody)
	if b := u.GetMaxRequestBody(); b != nil {
		if body = b.GetBytes(); body == 0 || body > maxRequestBody {
			c.bad("upstream.max_request_body", "is %d bytes; 1 to %d are allowed", body, int64(maxRequestBody))
		}
	}
	c.roots("upstream.tls.ca_pem", u.GetTls().GetCaPem())
	if n := u.GetTls().GetServerName(); n != "" && !hostPattern.MatchString(n) {
		c.bad("upstream.tls.server_name", "%.200q is not a host name", n)
	}
	return &Upstream{
		Targets: c.targets("upstream.targets", u.GetTargets()),
		Sandbox: c.targets("upstream.sandbox_targets", u.GetSandboxTargets()),
		TLS: TLS{
			CAPEM: u.GetTls().GetCaPem(), Roots: roots(u.GetTls().GetCaPem()),
			ServerName: u.GetTls().GetServerName(), InsecureSkipVerify: u.GetTls().GetInsecureSkipVerify(),
		},
		StripContextPath: u.StripContextPath == nil || u.GetStripContextPath(),
		PreserveHost:     u.GetPreserveHost(),
		ConnectTimeout:   duration(u.GetConnectTimeout(), defaultConnectTimeout),
		ResponseTimeout:  duration(u.GetResponseTimeout(), defaultResponseTimeout),
		MaxRequestBody:   int64(body),
	}
}

// targets reads a list; those of weight 0 are left out.
func (c *checker) targets(list string, targets []*pb.Target) []Target {
	if !c.list(list, len(targets)) {
		return nil
	}
	var used []Target
	for i, t := range targets {
		field := fmt.Sprintf("%s[%d]", list, i)
		weight := uint32(1)
		if t.Weight != nil {
			weight = t.GetWeight()
		}
		if weight > maxWeight {
			c.bad(field+".weight", "is %d; at most %d", weight, maxWeight)
		}
		if u, ok := c.url(field+".url", t.GetUrl(), false); ok && weight > 0 {
			used = append(used, newTarget(u, weight))
		}
	}
	if len(used) == 0 && len(targets) > 0 && len(c.faults) == 0 {
		c.bad(list, "all weights are 0")
	}
	return used
}

func newTarget(u *url.URL, weight uint32) Target {
	t := Target{Name: u.Hostname(), Host: u.Host, Secure: u.Scheme == "https", Prefix: strings.TrimRight(u.EscapedPath(), "/"), Weight: weight}
	port := u.Port()
	switch {
	case port != "":
	case t.Secure:
		port = "443"
	default:
		port = "80"
	}
	t.Address = net.JoinHostPort(u.Hostname(), port)
	return t
}

// url checks an absolute http or https URL. With query, it may have one.
func (c *checker) url(field, text string, query bool) (*url.URL, bool) {
	before := len(c.faults)
	u, err := url.Parse(text)
	shown := mask.URL(text)
	switch {
	case err != nil && strings.Contains(text, "://"):
		c.bad(field, "%.200q is not a URL", shown)
	case err != nil || u.Scheme != "http" && u.Scheme != "https": // such as 10.0.0.1:8080
		c.hint(field, "write http://… or https://…", "%.200q is not an absolute http or https URL", shown)
	case u.Hostname() == "":
		c.bad(field, "%.200q names no host", shown)
	case u.User != nil:
		c.bad(field, "holds a user name or password")
	case u.Fragment != "" || u.RawQuery != "" && !query:
		c.bad(field, "%.200q has a query or fragment", shown)
	case u.Port() != "" && !validPort(u.Port()):
		c.bad(field, "%.200q has no port from 1 to 65535", shown)
	}
	return u, len(c.faults) == before
}

func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

func duration(d *durationpb.Duration, standard time.Duration) time.Duration {
	if d == nil {
		return standard
	}
	return d.AsDuration()
}
