package authz

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/portcullis-gateway/portcullis/proto/portcullis/v1"
	"github.com/portcullis-gateway/portcullis/shared/expr"
	"github.com/portcullis-gateway/portcullis/shared/token"
)

// claimRule is a condition on one claim, or, without a name, on all of them.
type claimRule struct {
	claim     string
	mandatory bool
	equals    *structpb.Value
	condition *expr.Rule
}

func compileClaimRule(r *pb.ClaimRule) (c claimRule, err error) {
	c = claimRule{claim: r.GetClaim(), mandatory: r.GetMandatory(), equals: r.GetEquals()}
	if r.GetExpression() != "" {
		c.condition, err = expr.ClaimRule(r.GetExpression())
	}
	return c, err
}

// holds: an absent claim satisfies every rule that is not mandatory.
func (r *claimRule) holds(claims *token.Claims) bool {
	if r.claim != "" {
		value, ok := claims.Get(r.claim)
		if !ok {
			return !r.mandatory
		}
		if r.equals != nil && !equalOrContains(value, r.equals) {
			return false
		}
	}
	if r.condition == nil {
		return true
	}
	holds, err := r.condition.Holds(expr.Input{Claims: claims.Map()})
	return err == nil && holds
}

func equalOrContains(value any, want *structpb.Value) bool {
	if equal(value, want) {
		return true
	}
	list, ok := value.([]any)
	if !ok {
		return false
	}
	for _, element := range list {
		if equal(element, want) {
			return true
		}
	}
	return false
}

// equal compares values of one type only: "1" is not 1, and null is not false.
func equal(value any, want *structpb.Value) bool {
	switch want := want.GetKind().(type) {
	case *structpb.Value_StringValue:
		return value == want.StringValue
	case *structpb.Value_BoolValue:
		return value == want.BoolValue
	case *structpb.Value_NumberValue:
		return equalNumber(value, want.NumberValue)
	case *structpb.Value_NullValue:
		return value == nil
	case *structpb.Value_ListValue:
		return equalList(value, want.ListValue.GetValues())
	case *structpb.Value_StructValue:
		return equalObject(value, want.StructValue.GetFields())
	default:
		return false
	}
}

func equalList(value any, want []*structpb.Value) bool {
	list, ok := value.([]any)
	return ok && slices.EqualFunc(list, want, equal)
}

func equalObject(value any, want map[string]*structpb.Value) bool {
	object, ok := value.(map[string]any)
	return ok && maps.EqualFunc(object, want, equal)
}

// equalNumber compares exactly: a whole number that a float64 cannot hold
// equals none.
func equalNumber(value any, want float64) bool {
	const whole = 1 << 63 // the first float64 that no longer is an int64
	switch n := value.(type) {
	case int64:
		return float64(n) == want && want < whole && int64(want) == n
	case uint64:
		return float64(n) == want && want < 2*whole && uint64(want) == n
	case float64:
		return n == want
	default:
		return false
	}
}
