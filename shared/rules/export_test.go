package rules

import (
	"fmt"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
)

// Moves are all legal steps of the lifecycles that have statuses, like "plan STAGING publish".
func Moves() []string {
	all := movesOf(pb.Kind_KIND_PLAN, planMoves())
	all = append(all, movesOf(pb.Kind_KIND_SUBSCRIPTION, subscriptionMoves())...)
	return append(all, movesOf(pb.Kind_KIND_API, portalMoves())...)
}

func movesOf[S interface {
	comparable
	fmt.Stringer
}](kind pb.Kind, moves []move[S],
) []string {
	var all []string
	for _, m := range moves {
		for _, from := range m.from {
			all = append(all, fmt.Sprintf("%s %s %s", catalog.KindSlug(kind), from, m.verb))
		}
	}
	return all
}
