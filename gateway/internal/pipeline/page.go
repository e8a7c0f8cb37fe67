package pipeline

import (
	"github.com/portcullis-gateway/portcullis/shared/denial"
	"github.com/portcullis-gateway/portcullis/shared/denial/cause"
)

// Page is a prepared answer to GET and HEAD, the same for every caller. Immutable.
type Page struct {
	ContentType string
	Body        []byte
}

// Serve makes p the answer to a request with this method, unless the method asks
// for something else.
func (d *Decision) Serve(p *Page, method []byte) error {
	switch string(method) {
	case "GET", "HEAD":
		d.Page = p
		return nil
	}
	d.Allow = []string{"GET", "HEAD"}
	return denial.MethodNotAllowed.Because(cause.PageMethod)
}
