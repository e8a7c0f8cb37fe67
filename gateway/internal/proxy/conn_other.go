//go:build !unix

package proxy

import "errors"

// Without poll(2) an idle connection cannot be looked at: none is reused.
const canReadRaw = false

func quiet(uintptr) bool { return false }

func readRaw(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }
