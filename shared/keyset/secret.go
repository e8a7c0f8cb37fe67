package keyset

import (
	"errors"
	"fmt"
	"io"
	"os"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// maxSecretFile bounds what is read of a file with a secret or a key, in bytes.
const maxSecretFile = 1 << 20

// ReadSecret reads a secret from where it is. The text is empty only if secrets does
// not read such sources.
func ReadSecret(s *pb.Secret, secrets Secrets) (string, error) {
	switch source := s.GetSource().(type) {
	case *pb.Secret_Value:
		if source.Value == "" {
			return "", errors.New("it is empty")
		}
		return source.Value, nil
	case *pb.Secret_Env:
		return ReadEnv(source.Env, secrets)
	case *pb.Secret_File:
		return ReadFile(source.File, secrets)
	default:
		return "", errors.New("one of value, env and file is needed")
	}
}

// ReadRegular reads a file with a secret or a key, for Secrets.File. What is no regular
// file is refused: a pipe or a device could keep a process from working ever after.
func ReadRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxSecretFile:
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxSecretFile)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxSecretFile))
}
