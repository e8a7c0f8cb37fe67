package heap

import (
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// piece is what an owner has at an address.
type piece struct {
	tag  Tag
	data string
}

// model is an owner: what it needs, by address.
type model map[Address]piece

// version is a heap that was made, and what it must always hold.
type version struct {
	heap Heap
	want model
}

func (v *version) check(t *testing.T) {
	t.Helper()
	for a, p := range v.want {
		if got := v.heap.At(a); got != p.data {
			t.Fatalf("at %x: %d bytes %.20q, want %d bytes %.20q", a, len(got), got, len(p.data), p.data)
		}
	}
	if err := v.heap.Audit(maps.Keys(v.want)); err != nil {
		t.Fatal(err)
	}
}

// owner writes to one edit.
type owner struct {
	edit  Edit
	model model
	order []Address // of the model's addresses, so that runs can be repeated
}

func ownerOf(v version) *owner {
	o := &owner{edit: v.heap.Edit(), model: maps.Clone(v.want)}
	for a := range v.want {
		o.order = append(o.order, a)
	}
	return o
}

func (o *owner) add(tag Tag, data string) {
	a := o.edit.Add(tag, data)
	o.model[a] = piece{tag, data}
	o.order = append(o.order, a)
}

func (o *owner) remove(i int) {
	a := o.order[i]
	o.edit.Remove(a)
	delete(o.model, a)
	o.order[i] = o.order[len(o.order)-1]
	o.order = o.order[:len(o.order)-1]
}

func (o *owner) compact(t *testing.T) {
	t.Helper()
	o.edit.Compact(func(tag Tag, from Address, move func() Address) {
		p, needed := o.model[from]
		if !needed {
			return
		}
		if tag != p.tag {
			t.Errorf("the piece at %x is visited with tag %d, want %d", from, tag, p.tag)
		}
		to := move()
		if _, taken := o.model[to]; taken {
			t.Errorf("moved to %x, where something else is", to)
		}
		delete(o.model, from)
		o.model[to] = p
		for i, a := range o.order {
			if a == from {
				o.order[i] = to
			}
		}
	})
}

func (o *owner) version() version { return version{o.edit.Version(), maps.Clone(o.model)} }

// text is random bytes, of which pieces are cut.
func randomText() string {
	rnd, b := rand.New(rand.NewPCG(1, 2)), make([]byte, 3*chunkSize)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return string(b)
}

// run carries out a program of two bytes an instruction, on two edits at a time, and
// compares every version that was made with its model in the end.
func run(t *testing.T, text string, program []byte) {
	t.Helper()
	versions := []version{{want: model{}}}
	owners := []*owner{ownerOf(versions[0]), ownerOf(versions[0])}
	const mostVersions = 20
	for i := 0; i+1 < len(program); i += 2 {
		op, arg := program[i], int(program[i+1])
		o := owners[int(op)>>7]
		from := (i * 7919) % chunkSize
		switch op & 7 {
		case 0: // an empty or a small piece
			o.add(Tag(arg)&maxTag, text[from:from+arg/4])
		case 1: // a large one
			o.add(Tag(arg)&maxTag, text[from:from+arg*256])
		case 2: // one that is larger than a chunk, or just not
			if arg%16 == 0 {
				o.add(Tag(op>>3)&maxTag, text[:chunkSize-4+arg])
			}
		case 3, 4: // an overwriting
			if len(o.order) > 0 {
				o.remove(arg % len(o.order))
				o.add(Tag(arg)&maxTag, text[from:from+arg*64])
			}
		case 5:
			if len(o.order) > 0 {
				o.remove(arg % len(o.order))
			}
		case 6: // some compaction, with a version after each, also in the middle of a chunk
			for range 1 + arg%8 {
				o.compact(t)
				if v := o.version(); len(versions) < mostVersions && arg%3 == 0 {
					versions = append(versions, v)
				}
			}
		case 7: // go on from another version: a branch
			*o = *ownerOf(versions[arg%len(versions)])
		}
	}
	for _, o := range owners {
		versions = append(versions, o.version())
	}
	for i := range versions {
		versions[i].check(t)
	}
}

// FuzzHeap compares versions of a heap with plain maps, whatever is added,
// overwritten, removed, compacted and branched.
func FuzzHeap(f *testing.F) {
	text := randomText()
	f.Add([]byte{0, 0, 0, 255, 6, 0, 5, 0, 6, 0})
	f.Add([]byte{2, 0, 2, 16, 2, 240, 5, 0, 6, 0, 5, 0, 6, 0, 1, 255})
	f.Add([]byte{0, 9, 6, 0, 128, 9, 134, 0, 7, 1, 0, 9, 135, 1, 128, 9, 6, 0})
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 3 { // enough that chunks are emptied while others write
		program := make([]byte, 4000)
		for i := range program {
			program[i] = byte(rnd.Uint32())
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		run(t, text, program[:min(len(program), 6000)])
	})
}

// Overwriting the same pieces over and over takes no more memory.
func TestWasteIsBounded(t *testing.T) {
	text := randomText()
	rnd := rand.New(rand.NewPCG(4, 4))
	o := ownerOf(version{want: model{}})
	for range 4000 {
		o.add(0, text[:1000])
	}
	for round := range 1500 {
		for range 1 + round%30 { // with few, a chunk is emptied in many steps
			o.remove(rnd.IntN(len(o.order)))
			o.add(1, text[rnd.IntN(1000):][:1000])
		}
		o.compact(t)
		v := o.version()
		if err := v.heap.Audit(maps.Keys(v.want)); err != nil {
			t.Fatal(err)
		}
		if needed := v.heap.Size() - v.heap.Waste(); v.heap.Waste() > needed/4+8*chunkSize {
			t.Fatalf("%d bytes of waste, %d are needed", v.heap.Waste(), needed)
		}
	}
	last := o.version()
	last.check(t)
	if released := len(last.heap.free); released == 0 {
		t.Error("no chunk was released")
	}
}

// Edits of one heap write to the same chunk at the same time.
func TestConcurrentEdits(t *testing.T) {
	text := randomText()
	root := ownerOf(version{want: model{}})
	for range 100 {
		root.add(0, text[:100])
	}
	base := root.version()
	var group sync.WaitGroup
	owners := make([]*owner, 4)
	for k := range owners {
		owners[k] = ownerOf(base)
		group.Go(func() {
			for i := range 3000 {
				owners[k].add(Tag(k), text[k*1000:][:100+i%100])
				if i%3 == 0 {
					owners[k].remove(i % len(owners[k].order))
				}
				if i%100 == 0 {
					owners[k].compact(t)
				}
			}
		})
	}
	group.Wait()
	base.check(t)
	for _, o := range owners {
		v := o.version()
		v.check(t)
	}
}

// A piece that is larger than a chunk has one to itself, which is released with it.
func TestLargePieces(t *testing.T) {
	var e Edit
	long := strings.Repeat("x", 3*chunkSize)
	for _, text := range []string{"", "a", long, "b", strings.Repeat("y", chunkSize-3), long, ""} {
		if a := e.Add(0, text); e.At(a) != text {
			t.Fatalf("%d bytes became %d others", len(text), len(e.At(a)))
		}
	}
}

// Written yields what was there when it was taken, while more is written.
func TestWritten(t *testing.T) {
	var e Edit
	want := model{}
	add := func(data string) Address { return e.Add(Tag(len(data))&maxTag, data) }
	for i := range 2000 {
		data := strings.Repeat("z", i%300)
		want[add(data)] = piece{Tag(len(data)) & maxTag, data}
	}
	w := e.Written()
	add("later")
	w.Each(func(tag Tag, a Address, data string) {
		if p, ok := want[a]; !ok || p != (piece{tag, data}) {
			t.Fatalf("at %x: tag %d and %q, want %v", a, tag, data, p)
		}
		delete(want, a)
	})
	if len(want) > 0 {
		t.Errorf("%d pieces were not yielded", len(want))
	}
}

// Branches of a version that has released chunks release and reuse others, and do not
// disturb it or each other.
func TestBranchesReuseChunks(t *testing.T) {
	text := randomText()
	rnd := rand.New(rand.NewPCG(5, 5))
	overwrite := func(o *owner, n int) {
		for range n {
			o.remove(rnd.IntN(len(o.order)))
			o.add(2, text[rnd.IntN(1000):][:1000])
		}
		o.compact(t)
		o.edit.Version()
	}
	root := ownerOf(version{want: model{}})
	for range 4000 {
		root.add(0, text[:1000])
	}
	for range 10 * 1000 {
		if overwrite(root, 10); len(root.edit.free) > 2 {
			break
		}
	}
	base := root.version()
	if len(base.heap.free) <= 2 {
		t.Fatal("no chunks were released")
	}
	a, b := ownerOf(base), ownerOf(base)
	for range 500 {
		overwrite(a, 20)
		overwrite(b, 30)
	}
	for _, v := range []version{base, a.version(), b.version()} {
		v.check(t)
	}
}
