package front

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
)

// idLength is the length of a request id: 12 hexadecimal digits that are random
// for each process, and 12 that count.
const idLength = 24

// maxID bounds a request id that a trusted proxy brings, in bytes.
const maxID = 128

// isID reports whether a request id of a trusted proxy can go on: up to 128 letters,
// digits and characters that ids have, and that no log and no URL takes for anything else.
func isID(id []byte) bool {
	for _, c := range id {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') && bytes.IndexByte([]byte("-._~:+/=@"), c) < 0 {
			return false
		}
	}
	return 0 < len(id) && len(id) <= maxID
}

// ids makes request ids. They are unique, not secret.
type ids struct {
	process [idLength / 2]byte
	count   atomic.Uint64
}

func newIDs() *ids {
	i := new(ids)
	var random [14]byte
	_, _ = rand.Read(random[:]) // never fails
	hex.Encode(i.process[:], random[:6])
	// The count starts somewhere, too, so that ids do not tell the number of requests.
	i.count.Store(binary.BigEndian.Uint64(random[6:]))
	return i
}

func (i *ids) next(id *[idLength]byte) {
	const digits = "0123456789abcdef"
	copy(id[:], i.process[:])
	n := i.count.Add(1)
	for p := idLength - 1; p >= idLength/2; p-- {
		id[p] = digits[n&15]
		n >>= 4
	}
}
