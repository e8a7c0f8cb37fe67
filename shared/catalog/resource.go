package catalog

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Ref names a resource.
type Ref struct {
	Kind pb.Kind
	ID   string
}

// String is "plan/orders-jwt".
func (r Ref) String() string { return KindSlug(r.Kind) + "/" + r.ID }

// Resource is any message of a kind.
type Resource interface {
	proto.Message
	GetId() string
	GetMeta() *pb.Meta
}

// Kinds are all kinds in the order of their references: a kind refers only to
// kinds before it (a Deployment holds an Api, a KeySet belongs to an Issuer).
func Kinds() []pb.Kind {
	return []pb.Kind{
		pb.Kind_KIND_ISSUER, pb.Kind_KIND_API, pb.Kind_KIND_PLAN, pb.Kind_KIND_APPLICATION,
		pb.Kind_KIND_SUBSCRIPTION, pb.Kind_KIND_REVOCATION, pb.Kind_KIND_KEY_SET, pb.Kind_KIND_DEPLOYMENT,
	}
}

// UserKinds are the kinds that users write, in the order of their references.
func UserKinds() []pb.Kind { return Kinds()[:6] }

// KindOf is the kind of a message; KIND_UNSPECIFIED for nil.
func KindOf(r Resource) pb.Kind {
	switch r.(type) {
	case *pb.Issuer:
		return pb.Kind_KIND_ISSUER
	case *pb.Api:
		return pb.Kind_KIND_API
	case *pb.Plan:
		return pb.Kind_KIND_PLAN
	case *pb.Application:
		return pb.Kind_KIND_APPLICATION
	case *pb.Subscription:
		return pb.Kind_KIND_SUBSCRIPTION
	case *pb.Revocation:
		return pb.Kind_KIND_REVOCATION
	case *pb.KeySet:
		return pb.Kind_KIND_KEY_SET
	case *pb.Deployment:
		return pb.Kind_KIND_DEPLOYMENT
	}
	return pb.Kind_KIND_UNSPECIFIED
}

// New is an empty message of a kind; nil for an unknown one.
func New(kind pb.Kind) Resource {
	switch kind {
	case pb.Kind_KIND_ISSUER:
		return new(pb.Issuer)
	case pb.Kind_KIND_API:
		return new(pb.Api)
	case pb.Kind_KIND_PLAN:
		return new(pb.Plan)
	case pb.Kind_KIND_APPLICATION:
		return new(pb.Application)
	case pb.Kind_KIND_SUBSCRIPTION:
		return new(pb.Subscription)
	case pb.Kind_KIND_REVOCATION:
		return new(pb.Revocation)
	case pb.Kind_KIND_KEY_SET:
		return new(pb.KeySet)
	case pb.Kind_KIND_DEPLOYMENT:
		return new(pb.Deployment)
	case pb.Kind_KIND_UNSPECIFIED:
	}
	return nil
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

// KindSlug is the kind's name in references: "plan", "key-set".
func KindSlug(kind pb.Kind) string {
	switch kind {
	case pb.Kind_KIND_ISSUER:
		return "issuer"
	case pb.Kind_KIND_API:
		return "api"
	case pb.Kind_KIND_PLAN:
		return "plan"
	case pb.Kind_KIND_APPLICATION:
		return "application"
	case pb.Kind_KIND_SUBSCRIPTION:
		return "subscription"
	case pb.Kind_KIND_REVOCATION:
		return "revocation"
	case pb.Kind_KIND_KEY_SET:
		return "key-set"
	case pb.Kind_KIND_DEPLOYMENT:
		return "deployment"
	case pb.Kind_KIND_UNSPECIFIED:
	}
	return "unknown"
}

// Identify sets the id and the meta of a message.
func Identify(r Resource, id string, meta *pb.Meta) {
	switch m := r.(type) {
	case *pb.Issuer:
		m.Id, m.Meta = id, meta
	case *pb.Api:
		m.Id, m.Meta = id, meta
	case *pb.Plan:
		m.Id, m.Meta = id, meta
	case *pb.Application:
		m.Id, m.Meta = id, meta
	case *pb.Subscription:
		m.Id, m.Meta = id, meta
	case *pb.Revocation:
		m.Id, m.Meta = id, meta
	case *pb.KeySet:
		m.Id, m.Meta = id, meta
	case *pb.Deployment:
		m.Id, m.Meta = id, meta
	}
}

// SetID sets the id of a message and leaves its meta.
func SetID(r Resource, id string) { Identify(r, id, r.GetMeta()) }
