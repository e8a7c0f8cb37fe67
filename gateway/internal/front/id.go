package front

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
)

// idLength is the length of a request id: 12 hexadecimal digits that are random
// for each process, and 12 that count.
const idLength = 24

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
