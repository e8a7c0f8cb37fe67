package proxy

import (
	"errors"

	"github.com/portcullis-gateway/portcullis/shared/denial"
)

func asDenial(err error, d **denial.Denial) bool {
	found, ok := errors.AsType[*denial.Denial](err)
	*d = found
	return ok
}
