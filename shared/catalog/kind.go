package catalog

import (
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// kind is what this package must know of one kind of resources. How the indexes
// follow it stands in the table indexes.
type kind struct {
	slug   string // its name in references: "plan"
	byUser bool   // users write it; else the control plane alone does
	new    func() Resource
	is     func(Resource) bool
	// identity is where a message of the kind keeps its id and meta.
	identity func(Resource) (id *string, meta **pb.Meta)
}

// kinds are all kinds by their numbers, in the order of their references: a kind
// refers only to kinds before it (a Deployment holds an Api, a KeySet belongs to an
// Issuer). A new kind has an entry here, in indexes, in the table of shared/rules
// and in those of keymanager-sync/internal/rest; a test names each that lacks it.
//
//nolint:gochecknoglobals // a constant table
var kinds = [...]kind{
	pb.Kind_KIND_ISSUER:       kindOf("issuer", true, func(m *pb.Issuer) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_API:          kindOf("api", true, func(m *pb.Api) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_PLAN:         kindOf("plan", true, func(m *pb.Plan) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_APPLICATION:  kindOf("application", true, func(m *pb.Application) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_SUBSCRIPTION: kindOf("subscription", true, func(m *pb.Subscription) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_REVOCATION:   kindOf("revocation", true, func(m *pb.Revocation) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_KEY_SET:      kindOf("key-set", false, func(m *pb.KeySet) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_DEPLOYMENT:   kindOf("deployment", false, func(m *pb.Deployment) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
	pb.Kind_KIND_MEMBER:       kindOf("member", false, func(m *pb.Member) (*string, **pb.Meta) { return &m.Id, &m.Meta }),
}

const kindCount = len(kinds) // the zero kind included

// message is a pointer to M that is a Resource.
type message[M any] interface {
	*M
	Resource
}

// kindOf makes the entry of the kind whose message is M.
func kindOf[M any, P message[M]](slug string, byUser bool, identity func(P) (*string, **pb.Meta)) kind {
	return kind{
		slug: slug, byUser: byUser,
		new:      func() Resource { return P(new(M)) },
		is:       func(r Resource) bool { _, ok := r.(P); return ok },
		identity: func(r Resource) (*string, **pb.Meta) { return identity(r.(P)) }, //nolint:errcheck // is says so
	}
}

// known reports whether this version knows a kind.
func known(k pb.Kind) bool { return k > 0 && int(k) < kindCount && kinds[k].new != nil }

// Kinds are all kinds in the order of their references: a kind refers only to
// kinds before it (a Deployment holds an Api, a KeySet belongs to an Issuer).
func Kinds() []pb.Kind {
	all := make([]pb.Kind, 0, kindCount)
	for k := range pb.Kind(kindCount) {
		if known(k) {
			all = append(all, k)
		}
	}
	return all
}

// UserKinds are the kinds that users write, in the order of their references.
func UserKinds() []pb.Kind {
	all := make([]pb.Kind, 0, kindCount)
	for _, k := range Kinds() {
		if kinds[k].byUser {
			all = append(all, k)
		}
	}
	return all
}

// KindOf is the kind of a message; KIND_UNSPECIFIED for nil.
func KindOf(r Resource) pb.Kind {
	for k := range kinds {
		if known(pb.Kind(k)) && kinds[k].is(r) {
			return pb.Kind(k)
		}
	}
	return pb.Kind_KIND_UNSPECIFIED
}

// New is an empty message of a kind; nil for an unknown one.
func New(kind pb.Kind) Resource {
	if !known(kind) {
		return nil
	}
	return kinds[kind].new()
}

// KindName is what a `kind:` member says: "Plan". Empty for an unknown kind.
func KindName(kind pb.Kind) string {
	r := New(kind)
	if r == nil {
		return ""
	}
	return string(r.ProtoReflect().Descriptor().Name())
}

// KindByName is the kind whose KindName is name; KIND_UNSPECIFIED if none.
func KindByName(name string) pb.Kind {
	for _, k := range Kinds() {
		if KindName(k) == name {
			return k
		}
	}
	return pb.Kind_KIND_UNSPECIFIED
}

// KindSlug is the kind's name in references: "plan", "key-set".
func KindSlug(kind pb.Kind) string {
	if !known(kind) {
		return "unknown"
	}
	return kinds[kind].slug
}

// Collection is the kind's name in addresses: "plans", "key-sets".
func Collection(kind pb.Kind) string {
	if kind == pb.Kind_KIND_UNSPECIFIED {
		return ""
	}
	return KindSlug(kind) + "s"
}

// KindByCollection is the kind whose Collection is name; KIND_UNSPECIFIED if none.
func KindByCollection(name string) pb.Kind {
	for _, k := range Kinds() {
		if Collection(k) == name {
			return k
		}
	}
	return pb.Kind_KIND_UNSPECIFIED
}

// Identify sets the id and the meta of a message.
func Identify(r Resource, id string, meta *pb.Meta) {
	if k := KindOf(r); known(k) {
		atID, atMeta := kinds[k].identity(r)
		*atID, *atMeta = id, meta
	}
}

// SetID sets the id of a message and leaves its meta.
func SetID(r Resource, id string) { Identify(r, id, r.GetMeta()) }
