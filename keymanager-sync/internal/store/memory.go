package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

const (
	// Idempotency keys are remembered for as long as the log holds their entries,
	// and never more of them than this.
	memoryAge   = 7 * 24 * time.Hour
	memoryLimit = 1_000_000
	// What one write may forget, so that it stays short.
	forgetAtOnce = 1_000

	keyMemories = "memories" // in bucketMeta: how many there are
	longestText = 256
)

// Memory is what the log holds under an idempotency key.
type Memory struct {
	Sequence uint64
	// Time of the transaction.
	Time time.Time
	// Command is what was asked.
	Command string
}

type memory struct {
	key string
	Memory
}

// Remembered finds the transaction that was carried out under an idempotency key.
func (st *Store) Remembered(key string) (Memory, bool, error) {
	var m Memory
	found := false
	err := st.disk.read(func(tx *bbolt.Tx) error {
		m, found = decodeMemory(tx.Bucket([]byte(bucketKeys)).Get([]byte(key)))
		return nil
	})
	if err != nil {
		return Memory{}, false, fmt.Errorf("look for idempotency key: %w", err)
	}
	return m, found, nil
}

// memoriesOf finds the idempotency keys in an entry. An entry that cannot be
// decoded has none.
func memoriesOf(sequence uint64, data []byte) []memory {
	entry := new(pb.Entry)
	if proto.Unmarshal(data, entry) != nil {
		return nil
	}
	var found []memory
	for _, t := range entry.GetTransactions() {
		if key := t.GetIdempotencyKey(); key != "" && len(key) < bbolt.MaxKeySize-8 {
			found = append(found, memory{key: key, Memory: Memory{
				Sequence: sequence, Time: time.UnixMilli(t.GetTime()), Command: Shorten(t.GetCommand()),
			}})
		}
	}
	return found
}

// Shorten cuts a command's text to what is remembered of it.
func Shorten(command string) string {
	return command[:min(len(command), longestText)]
}

func remember(tx *bbolt.Tx, memories []memory) error {
	if len(memories) == 0 {
		return nil
	}
	keys, ages, meta := tx.Bucket([]byte(bucketKeys)), tx.Bucket([]byte(bucketAges)), tx.Bucket([]byte(bucketMeta))
	count := decodeCount(meta.Get([]byte(keyMemories)))
	for _, m := range memories {
		if keys.Get([]byte(m.key)) != nil {
			continue // the first one was carried out
		}
		count++
		if err := keys.Put([]byte(m.key), encodeMemory(m.Memory)); err != nil {
			return err
		}
		if err := ages.Put(append(binary.BigEndian.AppendUint64(nil, m.Sequence), m.key...), nil); err != nil {
			return err
		}
	}
	forgotten, err := forget(keys, ages, count, memories[len(memories)-1].Time.Add(-memoryAge))
	if err != nil {
		return err
	}
	return meta.Put([]byte(keyMemories), binary.BigEndian.AppendUint64(nil, count-forgotten))
}

// forget removes the oldest memories that are too many or too old.
func forget(keys, ages *bbolt.Bucket, count uint64, before time.Time) (uint64, error) {
	forgotten := uint64(0)
	cursor := ages.Cursor()
	for k, _ := cursor.First(); k != nil && forgotten < forgetAtOnce; k, _ = cursor.First() {
		key := k[8:]
		m, _ := decodeMemory(keys.Get(key))
		if count-forgotten <= memoryLimit && m.Time.After(before) {
			break
		}
		if err := keys.Delete(key); err != nil {
			return forgotten, err
		}
		if err := cursor.Delete(); err != nil {
			return forgotten, err
		}
		forgotten++
	}
	return forgotten, nil
}

func encodeMemory(m Memory) []byte {
	b := binary.BigEndian.AppendUint64(nil, m.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Time.UnixMilli()))
	return append(b, m.Command...)
}

func decodeMemory(b []byte) (Memory, bool) {
	if len(b) < 16 {
		return Memory{}, false
	}
	return Memory{
		Sequence: binary.BigEndian.Uint64(b),
		Time:     time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))),
		Command:  string(b[16:]),
	}, true
}

func decodeCount(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
