package authz

import (
	"strings"

	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// Target is how an Api is named in a list of subscriptions that a token carries.
type Target struct {
	Name, Version string
	// Context is the context path.
	Context string
}

// Claimed decides whether the claim of a verified token lists t among the Apis
// that its bearer is subscribed to, as subscribedAPIs of WSO2 API Manager 3.0
// and 3.1 does. Its error is denial.SubscriptionNotFound.
//
// The claim is a list of objects. An entry is for t if its context is t's, with
// or without the version behind it and nothing else said about the version, or
// if it has t's name and version; the version * is every version. A list with
// anything in it that cannot be understood lists nothing.
func Claimed(claims *token.Claims, claim string, t Target) error {
	value, _ := claims.Get(claim)
	list, ok := value.([]any)
	if !ok {
		return denial.SubscriptionNotFound.Because(cause.SubscriptionUnlisted)
	}
	listed := false
	for _, element := range list {
		e, ok := readEntry(element)
		if !ok {
			return denial.SubscriptionNotFound.Because(cause.SubscriptionUnlisted)
		}
		listed = listed || e.names(t)
	}
	if !listed {
		return denial.SubscriptionNotFound.Because(cause.SubscriptionUnlisted)
	}
	return nil
}

// entry is what matters of one subscription in the list.
type entry struct{ name, context, version string }

func readEntry(element any) (e entry, ok bool) {
	object, ok := element.(map[string]any)
	if !ok {
		return entry{}, false
	}
	for member, to := range map[string]*string{"name": &e.name, "context": &e.context, "version": &e.version} {
		value, present := object[member]
		if !present {
			continue
		}
		if *to, ok = value.(string); !ok || *to == "" {
			return entry{}, false
		}
	}
	return e, e.context != "" || e.name != "" && e.version != ""
}

func (e entry) names(t Target) bool {
	switch {
	case e.version != "" && e.version != "*" && e.version != t.Version:
		return false
	case e.context != "" && e.context == t.Context:
		return true
	case t.Version != "" && e.context == strings.TrimSuffix(t.Context, "/")+"/"+t.Version:
		return true
	}
	return e.name != "" && e.name == t.Name && e.version != ""
}
