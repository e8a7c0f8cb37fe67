package rules

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
	"github.com/portcullis-gateway/portcullis/shared/mask"
	"github.com/portcullis-gateway/portcullis/shared/schema"
)

// Why masks have names. Answers show a mask in place of a secret, and who edits what
// was read sends it back. By its position alone it is taken for another secret as
// soon as one before it is deleted or moved: the deleted one stays good, and the
// other is lost. So the control plane names a secret when it is written first, keeps
// the name beside it in the log, and a mask has the name in it.
//
// A name is made of where and when the secret was written. A fingerprint of the value
// would need no memory, but helps to guess a weak secret, whatever salt is shown with
// it; with a key that only control planes have it would not, but replicas, restarts
// and new epochs would all have to share that key, and losing it would spoil every
// mask that somebody keeps in a file.

// keepSecrets puts the secrets back that answers show masked, and names all of them.
func (d *Draft) keepSecrets(ref catalog.Ref, r, previous catalog.Resource) {
	d.keepURLs(ref, r, previous)
	secrets := schema.Secrets(r)
	if len(secrets) == 0 {
		return
	}
	k := keeper{draft: d, ref: ref}
	if previous != nil {
		k.old = schema.Secrets(previous)
		k.names = namesOf(ref, previous, k.old)
		k.taken = make([]bool, len(k.old))
	}
	k.keep(secrets)
	if d.file {
		return // a file is in force as it is, and its secrets are shown to nobody
	}
	k.name(secrets)
	k.settle(r, previous, secrets)
}

// namesOf are the names that answers show. What was written before there were names
// has those it would have been given.
func namesOf(ref catalog.Ref, r catalog.Resource, secrets []schema.Text) []string {
	version, createdAt := r.GetMeta().GetVersion(), r.GetMeta().GetCreatedAt().GetSeconds()
	names := make([]string, len(secrets))
	for i, s := range secrets {
		if names[i] = s.Name(); names[i] == "" && version > 0 {
			names[i] = schema.SecretName(ref.Kind, ref.ID, createdAt, version, i)
		}
	}
	return names
}

// keeper matches the secrets of a resource with those it had.
type keeper struct {
	draft *Draft
	ref   catalog.Ref
	old   []schema.Text
	names []string // of old
	taken []bool   // those of old that were found again
}

// keep puts secrets in the place of masks: first where the mask says which.
func (k *keeper) keep(secrets []schema.Text) {
	var plain []int
	kept := make([]int, len(secrets))
	for i, s := range secrets {
		kept[i] = -1
		name, masked := schema.ParseSecretMask(s.Value())
		switch {
		case !masked && schema.LooksLikeMask(s.Value()):
			k.problem(s, "looks like a mask that answers show instead of a secret, and is none", "send the mask exactly as it was read, 8 asterisks or these with a hyphen and 12 digits of 0-9 and a-f, or write the secret itself")
		case !masked:
		case name == "":
			plain = append(plain, i)
		default:
			kept[i] = k.named(s, name)
		}
	}
	for _, i := range plain {
		kept[i] = k.only(secrets, plain, i)
	}
	for i, at := range kept {
		if at >= 0 {
			secrets[i].SetValue(k.old[at].Value())
			secrets[i].SetName(k.names[at])
		}
	}
}

// named finds the secret of a mask with a name; -1: there is none.
func (k *keeper) named(s schema.Text, name string) int {
	for i, old := range k.old {
		if k.names[i] != name || old.Place != s.Place {
			continue
		}
		if k.taken[i] {
			k.problem(s, "is the same mask a second time", "keep one of them")
			return -1
		}
		k.taken[i] = true
		return i
	}
	k.problem(s, "is a mask of a secret that is not here, or not any more", "read the resource again and send the mask that it has now, or write the secret itself")
	return -1
}

// only finds the one secret that a mask without a name can stand for; -1: there are
// none, or several.
func (k *keeper) only(secrets []schema.Text, plain []int, i int) int {
	s, found, rivals := secrets[i], -1, 0
	for at, old := range k.old {
		if old.Place != s.Place {
			continue
		}
		if found >= 0 {
			rivals++
		}
		found = at
	}
	for _, other := range plain {
		if other != i && secrets[other].Place == s.Place {
			rivals++
		}
	}
	switch {
	case found < 0 || k.old[found].Value() == "":
		k.problem(s, "is the mask that answers show instead of a secret, and there is no secret to keep", "write the secret itself")
		return -1
	case rivals > 0:
		k.problem(s, "is a mask that could stand for several secrets", "read the resource and send the masks that it has, each of which stands for one secret, or write the secret itself")
		return -1
	case k.taken[found]:
		k.problem(s, "is a mask of a secret that another mask stands for", "keep one of them")
		return -1
	}
	k.taken[found] = true
	return found
}

func (k *keeper) problem(s schema.Text, message, hint string) {
	k.draft.problem(k.ref, s.Path, fault.Invalid, message, hint)
}

// name gives names to those that have none: a secret that is written again keeps its own.
func (k *keeper) name(secrets []schema.Text) {
	version, createdAt := uint64(1), k.draft.now.Unix()
	if record, ok := k.draft.base.Get(k.ref.Kind, k.ref.ID); ok {
		version, createdAt = record.Version()+1, record.CreatedAt()
	}
	for i, s := range secrets {
		if s.Name() != "" {
			continue
		}
		s.SetName(schema.SecretName(k.ref.Kind, k.ref.ID, createdAt, version, i))
		for at, old := range k.old {
			if !k.taken[at] && old.Place == s.Place && old.Value() == s.Value() && k.names[at] != "" {
				k.taken[at] = true
				s.SetName(k.names[at])
				break
			}
		}
	}
}

// settle leaves the names of a resource that is not changed as they are kept: to
// write it again is no change.
func (k *keeper) settle(r, previous catalog.Resource, secrets []schema.Text) {
	if previous == nil || len(secrets) != len(k.old) {
		return
	}
	for i, s := range secrets {
		if s.Name() != k.names[i] {
			return
		}
	}
	for i, s := range secrets {
		s.SetName(k.old[i].Name())
	}
	before, ok := proto.Clone(previous).(catalog.Resource)
	if !ok {
		return
	}
	catalog.Identify(before, k.ref.ID, nil)
	if proto.Equal(before, r) {
		return
	}
	for i, s := range secrets {
		s.SetName(k.names[i])
	}
}

// keepURLs puts the credentials back that answers hide in URLs.
func (d *Draft) keepURLs(ref catalog.Ref, r, previous catalog.Resource) {
	for _, u := range schema.URLs(r) {
		if !strings.Contains(u.Value(), mask.Secret) {
			continue
		}
		var fit []string
		if previous != nil {
			for _, old := range schema.URLs(previous) {
				if old.Place == u.Place && old.Value() != u.Value() && mask.URL(old.Value()) == u.Value() {
					fit = append(fit, old.Value())
				}
			}
		}
		if len(fit) != 1 {
			d.problem(ref, u.Path, fault.Invalid, "has a mask in it, as answers show it in place of credentials, and there is not exactly one URL that it stands for", "write the URL itself")
			continue
		}
		u.SetValue(fit[0])
	}
}
