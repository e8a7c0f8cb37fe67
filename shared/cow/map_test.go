package cow_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/portcullis-gateway/portcullis/shared/cow"
)

// Every version keeps what it held, whatever later edits do: checked against
// built-in maps over random edits.
func TestVersionsAgreeWithBuiltinMaps(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type version struct {
		got  cow.Map[int, int]
		want map[int]int
	}
	current := version{cow.New[int, int](), map[int]int{}}
	var kept []version
	for step := range 400 {
		edit, want := current.got.Edit(), maps.Clone(current.want)
		for range rnd.IntN(200) {
			k, v := rnd.IntN(5000), rnd.Int()
			if rnd.IntN(3) == 0 {
				edit.Delete(k)
				delete(want, k)
			} else {
				edit.Set(k, v)
				want[k] = v
			}
		}
		current = version{edit.Map(), want}
		edit.Set(-1, step) // must not show in the version taken before
		kept = append(kept, current)
	}
	for i, v := range kept {
		if v.got.Len() != len(v.want) {
			t.Fatalf("version %d: Len %d, want %d", i, v.got.Len(), len(v.want))
		}
		if got := maps.Collect(v.got.All()); !maps.Equal(got, v.want) {
			t.Fatalf("version %d differs", i)
		}
		for k, want := range v.want {
			if got, ok := v.got.Get(k); !ok || got != want {
				t.Fatalf("version %d: Get(%d) = %d, %v, want %d", i, k, got, ok, want)
			}
		}
		if _, ok := v.got.Get(-1); ok {
			t.Fatalf("version %d sees a later edit", i)
		}
	}
}

func TestSetAndDeleteOfOne(t *testing.T) {
	a := cow.New[string, int]().Set("x", 1)
	b := a.Delete("x").Delete("never there")
	if v, ok := a.Get("x"); !ok || v != 1 || b.Len() != 0 {
		t.Fatalf("a has x=%d,%v; b has %d entries", v, ok, b.Len())
	}
	if _, ok := (cow.Map[string, int]{}).Get("x"); ok {
		t.Fatal("the zero Map holds something")
	}
}

// The map keeps the last key, so that it does not keep alive what the first was part of.
func TestTheLastKeyIsKept(t *testing.T) {
	first, second := string([]byte("key")), string([]byte("key"))
	m := cow.New[string, int]().Set(first, 1).Set(second, 2)
	for k := range m.All() {
		if unsafe.StringData(k) != unsafe.StringData(second) {
			t.Error("the first key is still there")
		}
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	m := cow.New[string, int]()
	for i := range 10000 {
		m = m.Set(fmt.Sprint("key-", i), i)
	}
	key := "key-77"
	if n := testing.AllocsPerRun(100, func() { m.Get(key) }); n != 0 {
		t.Fatalf("Get allocates %v times", n)
	}
}
