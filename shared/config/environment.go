package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/fault"
)

const prefix = "PORTCULLIS_"

// everyName lists the settings of all programs, so that one environment can serve
// several of them: what another program knows is not a mistake. The test of the
// reference pages keeps the list complete.
const everyName = `
	access-log access-log-refused-rate access-log-share admin-listen admin-token admin-token-file client-cert-form client-cert-header config control control-listen data-dir demo
	demo-issuer-listen demo-upstream-listen drain-delay drain-timeout explain-refusals forget-nodes-after gateway-admin-listen gateway-listen
	idle-timeout limit-keys listen log-format log-level log-replicas log-requests max-conns max-conns-per-ip
	max-downloads max-header max-token-size nats nats-credentials nats-listen nats-token node-id node-token
	node-token-file otlp-attributes otlp-endpoint otlp-headers otlp-metrics-interval otlp-trace-share peers port-offset pprof read-timeout replica-id resources shutdown-grace signing-key tls-cert
	tls-key token-cache-entries token-cache-size trusted-proxies write-timeout
`

// EveryName returns the names of the settings of all programs, in order.
func EveryName() []string { return strings.Fields(everyName) }

// Variables of Kubernetes, which describes a Service called portcullis or
// portcullis-SOMETHING to every process that runs next to it.
var (
	ofKubernetes = regexp.MustCompile(`^PORTCULLIS(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	linkAddress  = regexp.MustCompile(`^(tcp|udp|sctp)://`) // the value of PORTCULLIS_PORT
)

// unknownVariables finds variables of the environment that are meant for us and
// that no program knows.
func unknownVariables(environ []string, settings []*setting) fault.List {
	known := map[string]bool{"PORTCULLIS_FAULTS": true, "PORTCULLIS_IDENTITY": true} // of tests
	names := make([]string, 0, len(settings))
	for _, s := range settings {
		if s.use != useFlag {
			names = append(names, envName(s.name))
		}
	}
	for _, name := range names {
		known[name] = true
	}
	for _, name := range EveryName() {
		known[envName(name)] = true
	}
	var faults fault.List
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || known[name] || ofKubernetes.MatchString(name) ||
			strings.HasSuffix(name, "_PORT") && linkAddress.MatchString(value) {
			continue
		}
		faults = append(faults, fault.Fault{
			File: "environment " + name, Message: "no setting has this name", Hint: fault.Suggest(name, names),
		})
	}
	slices.SortFunc(faults, func(a, b fault.Fault) int { return strings.Compare(a.File, b.File) })
	return faults
}
