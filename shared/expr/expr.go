package expr

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Limits of an expression.
const (
	// MaxSource is the longest accepted source, in bytes.
	MaxSource = 4 << 10
	// MaxCost bounds one evaluation, in CEL cost units: about one per operation
	// and one per ten characters of a string that is read.
	MaxCost = 100_000
)

// ErrAbsent says that a Value could not be had because the request or the
// claims do not have something that the expression looks up.
var ErrAbsent = errors.New("the expression looks up something that is not there")

// Request is what expressions may ask about a request. Header is asked in lower
// case; a name that occurs several times gives its first value.
type Request interface { //nolint:interfacebloat // each method is one word of the language
	Method() string
	Path() string
	Host() string
	Header(name string) (string, bool)
	Query(name string) (string, bool)
	Cookie(name string) (string, bool)
	ClientIP() string
}

// Input is what an expression is evaluated on. Fields that the expression's
// use does not offer may be left out.
type Input struct {
	Request Request
	// Claims hold what encoding/json would give, with whole numbers as int64 or uint64.
	Claims            map[string]any
	Application, Plan string
}

// Rule is a condition.
type Rule struct{ program cel.Program }

// Value is an expression that gives a string.
type Value struct{ program cel.Program }

// RequestRule compiles a condition over `request`.
func RequestRule(src string) (*Rule, error) { return rule(src, forRequest) }

// ClaimRule compiles a condition over `claims`.
func ClaimRule(src string) (*Rule, error) { return rule(src, forClaims) }

// RequestValue compiles a string over `request`, such as the origin of a token.
func RequestValue(src string) (*Value, error) { return value(src, forRequest) }

// LimitKey compiles a string over `request`, `claims`, `application` and `plan`.
func LimitKey(src string) (*Value, error) { return value(src, forLimit) }

func rule(src string, s scope) (*Rule, error) {
	program, err := compile(src, s, "a condition (bool)", cel.BoolType)
	if err != nil {
		return nil, err
	}
	return &Rule{program: program}, nil
}

func value(src string, s scope) (*Value, error) {
	program, err := compile(src, s, "a string", cel.StringType, cel.OptionalType(cel.StringType))
	if err != nil {
		return nil, err
	}
	return &Value{program: program}, nil
}

// Holds evaluates the condition. With an error it is false: a condition that
// cannot be evaluated does not hold.
func (r *Rule) Holds(in Input) (bool, error) {
	out, err := eval(r.program, &in)
	if err != nil {
		return false, err
	}
	if holds, ok := out.(types.Bool); ok {
		return bool(holds), nil
	}
	return false, fmt.Errorf("evaluate expression: it gave %s, not a bool", out.Type().TypeName())
}

// Eval gives the string. The error is ErrAbsent if it needs something that the
// input does not have, or if it ends in optional.none().
func (v *Value) Eval(in Input) (string, error) {
	out, err := eval(v.program, &in)
	if err != nil {
		return "", err
	}
	if maybe, ok := out.(*types.Optional); ok {
		if !maybe.HasValue() {
			return "", ErrAbsent
		}
		out = maybe.GetValue()
	}
	if text, ok := out.(types.String); ok {
		return string(text), nil
	}
	return "", fmt.Errorf("evaluate expression: it gave %s, not a string", out.Type().TypeName())
}

func eval(program cel.Program, in *Input) (ref.Val, error) {
	out, _, err := program.Eval(&variables{in: in})
	switch {
	case err == nil:
		return out, nil
	case strings.HasPrefix(err.Error(), "no such key"): // CEL's error has no exported type
		return nil, ErrAbsent
	default:
		return nil, fmt.Errorf("evaluate expression: %w", err)
	}
}
