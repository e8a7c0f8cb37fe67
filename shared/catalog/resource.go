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
