//go:build !unix

package socket

import "errors"

const hasRawCalls = false

func read(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }

func write(uintptr, []byte) (int, bool, error) { return 0, false, errors.ErrUnsupported }

func quiet(uintptr) bool { return false }
