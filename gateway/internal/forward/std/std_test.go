package std

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/forward/forwardtest"
)

func TestForwarder(t *testing.T) {
	forwardtest.Run(t, func() forwardtest.Forwarder { return New() })
}
