package std

import (
	"testing"

	"github.com/portcullis-gateway/portcullis/gateway/internal/front"
	"github.com/portcullis-gateway/portcullis/gateway/internal/front/fronttest"
)

func TestFront(t *testing.T) {
	fronttest.Run(t, func(c front.Config) (fronttest.Front, error) { return New(c) })
}
