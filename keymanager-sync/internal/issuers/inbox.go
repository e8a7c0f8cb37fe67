package issuers

import (
	"context"
	"maps"
	"sync"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// inbox holds, for each issuer, what was fetched last and is not in the log yet.
type inbox struct {
	signal chan struct{} // of one: there may be something

	mu      sync.Mutex
	waiting map[string][]*pb.KeySet_Source
	order   []string
	written map[string]bool // issuers whose key set this replica has written to the log
}

func newInbox() *inbox {
	return &inbox{signal: make(chan struct{}, 1), waiting: make(map[string][]*pb.KeySet_Source), written: make(map[string]bool)}
}

// put replaces what is waiting for the issuer.
func (b *inbox) put(id string, sources []*pb.KeySet_Source) {
	b.mu.Lock()
	if _, ok := b.waiting[id]; !ok {
		b.order = append(b.order, id)
	}
	b.waiting[id] = sources
	b.mu.Unlock()
	b.wake()
}

// putBack is put, unless something newer has come meanwhile.
func (b *inbox) putBack(id string, sources []*pb.KeySet_Source) {
	b.mu.Lock()
	if _, ok := b.waiting[id]; !ok {
		b.order = append(b.order, id)
		b.waiting[id] = sources
	}
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) wake() {
	select {
	case b.signal <- struct{}{}:
	default: // it is signalled already
	}
}

// take waits for the next issuer's sources.
func (b *inbox) take(ctx context.Context) (string, []*pb.KeySet_Source, error) {
	for {
		b.mu.Lock()
		if len(b.order) > 0 {
			id := b.order[0]
			sources := b.waiting[id]
			b.order = b.order[1:]
			delete(b.waiting, id)
			b.mu.Unlock()
			return id, sources, nil
		}
		b.mu.Unlock()
		select {
		case <-b.signal:
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
}

// wrote notes that an issuer's key set stands in the log; unwritten, that it was removed.
func (b *inbox) wrote(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written[id] = true
}

func (b *inbox) unwritten(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.written, id)
}

func (b *inbox) writtenTo() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.written)
}
