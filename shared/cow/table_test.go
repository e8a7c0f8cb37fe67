package cow_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// item is an entry with a hash of its own choice.
type item struct{ hash, key, value uint64 }

func is(key uint64) func(*item) bool { return func(i *item) bool { return i.key == key } }

func hashOf(i *item) uint64 { return i.hash }

func contents(t *cow.Table[item]) map[uint64]item {
	all := map[uint64]item{}
	for i := range t.All() {
		all[i.key] = *i
	}
	return all
}

// hashes from the best to the worst there are.
func hashes(rnd *rand.Rand) map[string]func(key uint64) uint64 {
	salt := rnd.Uint64()
	good := func(key uint64) uint64 { return (key ^ salt) * 0x9e3779b97f4a7c15 }
	return map[string]func(uint64) uint64{
		"good":           good,
		"few bits":       func(key uint64) uint64 { return good(key) &^ (1<<54 - 1) },
		"same beginning": func(key uint64) uint64 { return good(key) >> 50 },
		"same tags":      func(key uint64) uint64 { return good(key) &^ 0xfff },
		"all the same":   func(uint64) uint64 { return salt },
	}
}

// Whatever the hashes are like, what is put in, replaced and taken out is there or
// is not, in this version and in those before.
func TestTableWithAnyHashes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for name, hash := range hashes(rnd) {
		t.Run(name, func(t *testing.T) {
			var table cow.Table[item]
			want := map[uint64]item{}
			for range 40 {
				before, had := table, maps.Clone(want)
				edit := table.Edit()
				for range rnd.IntN(120) {
					key := rnd.Uint64N(900)
					if rnd.IntN(3) == 0 {
						edit.Delete(hash(key), is(key))
						delete(want, key)
						continue
					}
					at, added := edit.Put(hash(key), is(key), hashOf)
					if _, there := want[key]; there == added {
						t.Fatalf("key %d: added %v", key, added)
					}
					*at = item{hash(key), key, rnd.Uint64()}
					want[key] = *at
				}
				table = edit.Table()
				if got := contents(&table); !maps.Equal(got, want) || table.Len() != len(want) {
					t.Fatalf("%d entries, Len %d, want %d", len(got), table.Len(), len(want))
				}
				if !maps.Equal(contents(&before), had) {
					t.Fatal("an earlier version has changed")
				}
				for key := range uint64(900) {
					at := table.Find(hash(key), is(key))
					if w, ok := want[key]; (at != nil) != ok || ok && *at != w {
						t.Fatalf("key %d: found %v, want %v", key, at, w)
					}
				}
			}
		})
	}
}

// A table made at once holds what one holds that was made step by step, and goes on
// like it.
func TestBulkEqualsEdits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	for name, hash := range hashes(rnd) {
		for _, n := range []int{0, 1, 64, 65, 200, 5000} {
			if n > 200 && name == "all the same" {
				continue // every lookup compares them all
			}
			var all []cow.Hashed[item]
			edit := new(cow.Table[item]).Edit()
			for key := range uint64(n) {
				i := item{hash(key), key, rnd.Uint64()}
				all = append(all, cow.Hashed[item]{Hash: i.hash, Entry: i})
				at, _ := edit.Put(i.hash, is(key), hashOf)
				*at = i
			}
			same := func(a, b *item) bool { return a.key == b.key }
			twice := append(slices.Clone(all), all[len(all)/2:min(len(all)/2+1, len(all))]...)
			if _, ok := cow.Bulk(twice, same); ok != (n == 0) {
				t.Errorf("%s, %d entries: one of them twice: ok %v", name, n, ok)
			}
			bulk, ok := cow.Bulk(all, same)
			if !ok || bulk.Len() != n {
				t.Fatalf("%s: ok %v, %d entries, want %d", name, ok, bulk.Len(), n)
			}
			other := bulk.Edit()
			for range n / 2 {
				key := rnd.Uint64N(uint64(n) * 2)
				for _, e := range []*cow.TableEdit[item]{&edit, &other} {
					if key%3 == 0 {
						e.Delete(hash(key), is(key))
					} else {
						at, _ := e.Put(hash(key), is(key), hashOf)
						*at = item{hash(key), key, 1}
					}
				}
			}
			a, b := edit.Table(), other.Table()
			if !maps.Equal(contents(&a), contents(&b)) || a.Len() != b.Len() {
				t.Fatalf("%s, %d entries: made at once it goes on differently", name, n)
			}
		}
	}
}
