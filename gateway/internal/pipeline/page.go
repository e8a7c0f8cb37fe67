package pipeline

import (
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// Page is an answer that is there beforehand, for everybody who asks for it with
// GET or HEAD. Immutable.
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
	return denial.MethodNotAllowed
}
