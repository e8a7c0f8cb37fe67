//go:build linux

package world

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// Idle is the n-th application whose tokens are signed with ES256: the load that
// changes accompany is signed with RS256.
func (s Sizes) Idle(n int) int {
	kinds := len(Algorithms())
	return n%(s.Applications/kinds)*kinds + 1
}

// Application is an application as it was imported.
func (s Sizes) Application(n int) *pb.Application {
	return &pb.Application{
		Id: fmt.Sprintf("app-%06d", n), Name: "Application of load", Owner: "team-load",
		Clients: []*pb.Client{{Issuer: algorithmOf(n).issuerID(), ClientId: client(n)}},
	}
}

// Subscription is an application's j-th subscription as it was imported.
func (s Sizes) Subscription(application, j int) *pb.Subscription {
	return &pb.Subscription{
		Id: SubscriptionID(application, j), Application: fmt.Sprintf("app-%06d", application),
		Plan: fmt.Sprint("plan-", s.api(application, j)), Status: pb.Subscription_ACCEPTED,
	}
}

// Revocation is one of a token that nobody uses.
func Revocation(jti string, until time.Time) *pb.Revocation {
	return &pb.Revocation{Issuer: ES256.issuerID(), Target: &pb.Revocation_Jti{Jti: jti}, ExpiresAt: timestamppb.New(until), Reason: "load"}
}
