package rest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/store"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// wanted reports whether a resource passes a filter.
type wanted func(catalog.Resource) bool

// filter narrows a listing by a query parameter.
type filter struct {
	name   string
	values []string // the only ones; nil: any
	// verbatim says that a resource which passes has the value in its encoded form.
	verbatim bool
	make     func(state *catalog.State, value string) wanted
}

// filters are those of each kind, besides q. An entry also for kinds that have none.
//
//nolint:gochecknoglobals // a constant table
var filters = [...][]filter{
	pb.Kind_KIND_ISSUER: {
		by("issuer", func(m *pb.Issuer, v string) bool { return m.GetIssuer() == v }),
	},
	pb.Kind_KIND_API: {
		byStatus(pb.Api_PortalState_name, (*pb.Api).GetPortalState),
	},
	pb.Kind_KIND_PLAN: {
		by("api", func(m *pb.Plan, v string) bool { return m.GetApi() == v }),
		by("issuer", func(m *pb.Plan, v string) bool { return slices.Contains(m.GetJwt().GetIssuers(), v) }),
		byStatus(pb.Plan_Status_name, (*pb.Plan).GetStatus),
	},
	pb.Kind_KIND_APPLICATION: {
		by("issuer", func(m *pb.Application, v string) bool {
			return slices.ContainsFunc(m.GetClients(), func(c *pb.Client) bool { return c.GetIssuer() == v })
		}),
		verbatim(by("client_id", func(m *pb.Application, v string) bool {
			return slices.ContainsFunc(m.GetClients(), func(c *pb.Client) bool { return c.GetClientId() == v })
		})),
	},
	pb.Kind_KIND_SUBSCRIPTION: {
		verbatim(by("application", func(m *pb.Subscription, v string) bool { return m.GetApplication() == v })),
		verbatim(by("plan", func(m *pb.Subscription, v string) bool { return m.GetPlan() == v })),
		{name: "api", make: ofAPI},
		byStatus(pb.Subscription_Status_name, (*pb.Subscription).GetStatus),
	},
	pb.Kind_KIND_REVOCATION: {
		by("issuer", func(m *pb.Revocation, v string) bool { return m.GetIssuer() == v }),
		verbatim(by("client_id", func(m *pb.Revocation, v string) bool { return m.GetClientId() == v })),
	},
	pb.Kind_KIND_KEY_SET:    {},
	pb.Kind_KIND_DEPLOYMENT: {},
	pb.Kind_KIND_MEMBER:     {},
}

// filtersOf are all filters of a kind.
func filtersOf(kind pb.Kind) []filter {
	search := filter{name: "q", make: textContained}
	if kind < 0 || int(kind) >= len(filters) {
		return []filter{search}
	}
	return append(slices.Clip(filters[kind]), search)
}

// filterNames are the query parameters that narrow a listing.
func filterNames(kind pb.Kind) []string {
	var names []string
	for _, f := range filtersOf(kind) {
		names = append(names, f.name)
	}
	return names
}

// by makes a filter of a function that takes the kind's own message.
func by[M catalog.Resource](name string, is func(m M, value string) bool) filter {
	return filter{name: name, make: func(_ *catalog.State, value string) wanted {
		return func(r catalog.Resource) bool {
			m, ok := r.(M)
			return ok && is(m, value)
		}
	}}
}

// byStatus filters by a status, of which byNumber are all.
func byStatus[M catalog.Resource, S fmt.Stringer](byNumber map[int32]string, status func(M) S) filter {
	f := by("status", func(m M, value string) bool { return status(m).String() == value })
	f.values = enumNames(byNumber)
	return f
}

func verbatim(f filter) filter {
	f.verbatim = true
	return f
}

// narrow narrows a query by the filters that were given.
func narrow(query *store.Query, state *catalog.State, p params) error {
	var conditions []wanted
	for _, f := range filtersOf(query.Kind) {
		value, given := p[f.name]
		if !given {
			continue
		}
		if value == "" {
			return badRequest(fmt.Sprintf("filter %q is empty (hint: leave it out for everything)", f.name))
		}
		if f.values != nil && !slices.Contains(f.values, value) {
			return badRequest(fmt.Sprintf("%s=%q is unknown (hint: %s)", f.name, value, fault.Suggest(value, f.values)))
		}
		conditions = append(conditions, f.make(state, value))
		if f.verbatim {
			query.Contains = append(query.Contains, value)
		}
	}
	if len(conditions) == 0 {
		return nil
	}
	query.Match = func(record catalog.Record) bool {
		r, err := record.Decode()
		if err != nil {
			return false
		}
		return !slices.ContainsFunc(conditions, func(c wanted) bool { return !c(r) })
	}
	return nil
}

func enumNames(byNumber map[int32]string) []string {
	numbers := make([]int32, 0, len(byNumber))
	for n, name := range byNumber {
		if name != "STATUS_UNSPECIFIED" {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = byNumber[n]
	}
	return names
}

// textContained looks for text in a resource's id and name, whatever its case.
func textContained(_ *catalog.State, value string) wanted {
	text := strings.ToLower(value)
	return func(r catalog.Resource) bool {
		named, ok := r.(interface{ GetName() string })
		return strings.Contains(r.GetId(), text) || ok && strings.Contains(strings.ToLower(named.GetName()), text)
	}
}

// ofAPI passes the subscriptions to an Api's plans. The plans are looked up once, not
// once for each subscription.
func ofAPI(state *catalog.State, api string) wanted {
	plans := state.PlansOf(api)
	return func(r catalog.Resource) bool {
		s, ok := r.(*pb.Subscription)
		return ok && slices.Contains(plans, s.GetPlan())
	}
}
