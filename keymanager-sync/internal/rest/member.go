package rest

import (
	"fmt"
	"net/http"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/command"
	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// removeMember answers DELETE /v1/fleet/{node}: a silent node does not belong to the
// fleet any longer. One that is heard would join again at once.
func (s *Server) removeMember(w http.ResponseWriter, r *http.Request) error {
	wr, err := startWrite(r)
	if err != nil {
		return err
	}
	if err := unconditional(r); err != nil {
		return err
	}
	node := r.PathValue("node")
	if s.fleet.Live(node) {
		return newProblem(http.StatusConflict, "node-live",
			fmt.Sprintf("node %q is alive (hint: stop it; it then leaves the fleet by itself)", node))
	}
	if _, known := s.store.State().Get(pb.Kind_KIND_MEMBER, node); !known {
		return notFound(fmt.Sprintf("no node %q belongs to the fleet (hint: GET /v1/fleet lists those that do)", node))
	}
	_, notInForce, err := s.submit(w, r, wr, command.Members{Gone: []string{node}})
	if err != nil {
		return err
	}
	w.WriteHeader(statusOf2xx(notInForce, http.StatusNoContent))
	return nil
}
