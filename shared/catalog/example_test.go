package catalog_test

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Both the control plane and a node fold the entries of the log with Apply. Readers
// of the State before see nothing of it.
func ExampleState_Apply() {
	subscription, err := catalog.Encode(&pb.Subscription{Application: "mobile", Plan: "gold", Status: pb.Subscription_ACCEPTED})
	if err != nil {
		fmt.Println(err)
		return
	}
	entry, err := proto.Marshal(&pb.Entry{Transactions: []*pb.Transaction{{Changes: []*pb.Change{
		{Kind: pb.Kind_KIND_SUBSCRIPTION, Id: "mobile-gold", Version: 1, Resource: subscription},
	}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	before := catalog.Empty()
	after, effects, err := before.Apply(1, entry)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(effects.Touched, before.Len(pb.Kind_KIND_SUBSCRIPTION), after.Len(pb.Kind_KIND_SUBSCRIPTION))

	application, plan := after.Handle(pb.Kind_KIND_APPLICATION, "mobile"), after.Handle(pb.Kind_KIND_PLAN, "gold")
	grant, found := after.Grant(application, plan)
	fmt.Println(found, grant.Status)
	// Output:
	// [subscription/mobile-gold] 0 1
	// true ACCEPTED
}

// A snapshot is the changes that a State holds; a Builder makes the same State of them.
func ExampleBuilder() {
	content, err := catalog.Encode(&pb.Application{Name: "Mobile"})
	if err != nil {
		fmt.Println(err)
		return
	}
	state, err := catalog.Empty().WithChanges([]*pb.Change{{Kind: pb.Kind_KIND_APPLICATION, Id: "mobile", Version: 1, Resource: content}})
	if err != nil {
		fmt.Println(err)
		return
	}
	b := catalog.NewBuilder(catalog.Position{Epoch: 1, Sequence: 812}, nil)
	for change := range state.Changes() {
		b.Add(change)
	}
	loaded := b.State()
	fmt.Println(loaded.Position(), loaded.SetHash() == state.SetHash(), loaded.Counts())
	// Output: epoch 1, sequence 812 true map[Application:1]
}
