package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/view"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// filterNames are the query parameters that narrow a listing.
func filterNames(kind pb.Kind) []string {
	switch kind {
	case pb.Kind_KIND_ISSUER:
		return []string{"issuer", "q"}
	case pb.Kind_KIND_API:
		return []string{"status", "q"}
	case pb.Kind_KIND_PLAN:
		return []string{"api", "issuer", "status", "q"}
	case pb.Kind_KIND_APPLICATION, pb.Kind_KIND_REVOCATION:
		return []string{"issuer", "client_id", "q"}
	case pb.Kind_KIND_SUBSCRIPTION:
		return []string{"application", "plan", "api", "status", "q"}
	default:
		return []string{"q"}
	}
}

// wanted tells whether a resource passes the filters.
type wanted func(catalog.Resource) bool

// filter narrows a query by the filters that were given.
func filter(query *view.Query, state *catalog.State, p params) error {
	if err := checkStatus(query.Kind, p); err != nil {
		return err
	}
	var conditions []wanted
	for _, name := range filterNames(query.Kind) {
		value, given := p[name]
		if !given {
			continue
		}
		if value == "" {
			return badRequest(fmt.Sprintf("filter %q is empty (hint: leave it out for everything)", name))
		}
		conditions = append(conditions, condition(state, name, value))
		if slices.Contains([]string{"application", "plan", "client_id"}, name) {
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

func checkStatus(kind pb.Kind, p params) error {
	status, given := p["status"]
	if !given {
		return nil
	}
	var known []string
	switch kind {
	case pb.Kind_KIND_API:
		known = enumNames(pb.Api_PortalState_name)
	case pb.Kind_KIND_PLAN:
		known = enumNames(pb.Plan_Status_name)
	default:
		known = enumNames(pb.Subscription_Status_name)
	}
	if !slices.Contains(known, status) {
		return badRequest(fmt.Sprintf("status=%q is unknown (hint: %s)", status, fault.Suggest(status, known)))
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

func condition(state *catalog.State, name, value string) wanted {
	switch name {
	case "issuer":
		return func(r catalog.Resource) bool { return hasIssuer(r, value) }
	case "client_id":
		return func(r catalog.Resource) bool { return hasClient(r, value) }
	case "status":
		return func(r catalog.Resource) bool { return statusOf(r) == value }
	case "api":
		return ofAPI(state, value)
	case "application":
		return func(r catalog.Resource) bool {
			s, ok := r.(*pb.Subscription)
			return ok && s.GetApplication() == value
		}
	case "plan":
		return func(r catalog.Resource) bool {
			s, ok := r.(*pb.Subscription)
			return ok && s.GetPlan() == value
		}
	}
	text := strings.ToLower(value)
	return func(r catalog.Resource) bool {
		named, ok := r.(interface{ GetName() string })
		return strings.Contains(r.GetId(), text) || ok && strings.Contains(strings.ToLower(named.GetName()), text)
	}
}

func hasIssuer(r catalog.Resource, value string) bool {
	switch r := r.(type) {
	case *pb.Issuer:
		return r.GetIssuer() == value
	case *pb.Plan:
		return slices.Contains(r.GetJwt().GetIssuers(), value)
	case *pb.Application:
		return slices.ContainsFunc(r.GetClients(), func(c *pb.Client) bool { return c.GetIssuer() == value })
	case *pb.Revocation:
		return r.GetIssuer() == value
	}
	return false
}

func hasClient(r catalog.Resource, value string) bool {
	switch r := r.(type) {
	case *pb.Application:
		return slices.ContainsFunc(r.GetClients(), func(c *pb.Client) bool { return c.GetClientId() == value })
	case *pb.Revocation:
		return r.GetClientId() == value
	}
	return false
}

func statusOf(r catalog.Resource) string {
	switch r := r.(type) {
	case *pb.Api:
		return r.GetPortalState().String()
	case *pb.Plan:
		return r.GetStatus().String()
	case *pb.Subscription:
		return r.GetStatus().String()
	}
	return ""
}

// ofAPI is true for an Api's plans and for their subscriptions. The plans are
// read once, not once for each subscription.
func ofAPI(state *catalog.State, api string) wanted {
	plans := make(map[string]bool)
	for record := range state.All(pb.Kind_KIND_PLAN) {
		if plan, err := record.Decode(); err == nil {
			if plan, ok := plan.(*pb.Plan); ok && plan.GetApi() == api {
				plans[plan.GetId()] = true
			}
		}
	}
	return func(r catalog.Resource) bool {
		switch r := r.(type) {
		case *pb.Plan:
			return r.GetApi() == api
		case *pb.Subscription:
			return plans[r.GetPlan()]
		}
		return false
	}
}
