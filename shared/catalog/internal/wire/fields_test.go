package wire

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
)

// unread are fields that this package looks at and leaves alone, with the reason.
const (
	inChange   protoreflect.FieldNumber = -iota - 1 // the change says it
	forPeople                                       // nothing is found or decided by it
	forAudit                                        // the audit of the log, not the state
	forLog                                          // shared/stream and the ledger read it
	wholeTimes                                      // indexes count whole seconds
)

type fields map[protoreflect.Name]protoreflect.FieldNumber

// credential is read of two messages.
func credential() fields {
	return fields{"id": credentialID, "sha256": credentialSHA256, "expires_at": credentialExpiresAt}
}

// A field that is added to a message which is read here must be looked at: does an
// index need it? Then it is read, else it is listed here.
func TestEveryFieldIsKnown(t *testing.T) {
	for _, c := range []struct {
		message protoreflect.ProtoMessage
		fields  fields
	}{
		{&pb.Entry{}, fields{
			"epoch": entryEpoch, "founding": entryEpochID, "transactions": entryTransactions, "awaited": entryAwaited,
			"ends_epoch": forLog,
		}},
		{&pb.Transaction{}, fields{
			"changes": transactionChanges,
			"actor":   forAudit, "time": forAudit, "idempotency_key": forAudit, "command": forAudit,
		}},
		{&pb.Change{}, fields{
			"kind": changeKind, "id": changeID, "version": changeVersion, "resource": changeResource, "removed": changeRemoved,
			"restrictive": changeRestrictive, "created_at": changeCreatedAt, "updated_at": changeUpdatedAt,
		}},
		{&pb.Subscription{}, fields{
			"application": subscriptionApplication, "plan": subscriptionPlan, "status": subscriptionStatus,
			"starts_at": subscriptionStartsAt, "ends_at": subscriptionEndsAt, "id": inChange, "meta": inChange,
		}},
		{&pb.Application{}, fields{
			"clients": applicationClients, "api_keys": applicationKeys, "certificates": applicationCertificates,
			"id": inChange, "meta": inChange, "name": forPeople, "description": forPeople, "owner": forPeople,
		}},
		{&pb.Client{}, fields{"issuer": clientIssuer, "client_id": clientID, "environment": clientEnvironment}},
		{&pb.ApiKey{}, credential()},
		{&pb.Certificate{}, credential()},
		{&timestamppb.Timestamp{}, fields{"seconds": timestampSeconds, "nanos": wholeTimes}},
	} {
		d := c.message.ProtoReflect().Descriptor()
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			switch number, known := c.fields[f.Name()]; {
			case !known:
				t.Errorf("%s has a field %s, which shared/catalog/internal/wire neither reads nor lists as left alone", d.Name(), f.Name())
			case number > 0 && number != f.Number():
				t.Errorf("%s.%s is field %d, read is %d", d.Name(), f.Name(), f.Number(), number)
			}
		}
		for name := range c.fields {
			if d.Fields().ByName(name) == nil {
				t.Errorf("%s has no field %s any more", d.Name(), name)
			}
		}
	}
}
