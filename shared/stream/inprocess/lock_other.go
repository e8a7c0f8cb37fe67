//go:build !unix

package inprocess

import (
	"os"
	"path/filepath"
)

// lockDir opens the lock file; locking it is done where the system has flock.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "portcullis.lock"), os.O_CREATE|os.O_RDWR, 0o600)
}
