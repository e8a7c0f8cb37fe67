package rules

import (
	"fmt"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/catalog"
	"github.com/portcullis-gateway/portcullis/shared/fault"
)

// maskedSecret is what answers show instead of a secret.
const maskedSecret = "********"

// keepSecrets puts the secrets back that answers show masked.
func (d *Draft) keepSecrets(ref catalog.Ref, r, previous catalog.Resource) {
	n, ok := r.(*pb.Issuer)
	if !ok {
		return
	}
	old, _ := previous.(*pb.Issuer)
	before := old.GetKeys().GetHmacSecrets()
	for i, s := range n.GetKeys().GetHmacSecrets() {
		if s.GetValue() != maskedSecret {
			continue
		}
		if i >= len(before) || before[i].GetValue() == "" {
			d.problem(ref, fmt.Sprintf("keys.hmac_secrets[%d].value", i), fault.Invalid,
				"is the mask that answers show instead of a secret, and there is no secret to keep", "write the secret itself")
			continue
		}
		s.Source = &pb.HmacSecret_Value{Value: before[i].GetValue()}
	}
	now, was := n.GetIntrospection(), old.GetIntrospection()
	d.keepSecret(ref, "introspection.client_secret", now.GetClientSecret(), was.GetClientSecret())
	d.keepSecret(ref, "introspection.private_key", now.GetPrivateKey(), was.GetPrivateKey())
}

func (d *Draft) keepSecret(ref catalog.Ref, field string, n, old *pb.Secret) {
	switch {
	case n.GetValue() != maskedSecret:
	case old.GetValue() == "":
		d.problem(ref, field+".value", fault.Invalid,
			"is the mask that answers show instead of a secret, and there is no secret to keep", "write the secret itself")
	default:
		n.Source = &pb.Secret_Value{Value: old.GetValue()}
	}
}
