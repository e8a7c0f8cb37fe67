package pipeline

import (
	"github.com/portcullis-gateway/portcullis/shared/denial"
)

// environment sends the requests of sandbox clients to the sandbox. Without one
// they are refused: what they do is not meant for production.
func environment(d *Decision) error {
	if !d.sandbox {
		return nil
	}
	var err error
	if d.Forward.Sandbox = d.Api.Upstream.HasSandbox(); !d.Forward.Sandbox {
		err = denial.SandboxNotServed
	}
	d.note(stepEnvironment, d.Plan, err)
	return err
}
