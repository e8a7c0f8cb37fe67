package expr

import (
	"errors"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// requestType is the CEL type of the variable `request`.
const requestType = "portcullis.Request"

// variables resolves an expression's variables from an Input, when they are asked for.
type variables struct{ in *Input }

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "request":
		return v, v.in.Request != nil
	case "claims":
		return v.in.Claims, true
	case "application":
		return v.in.Application, true
	case "plan":
		return v.in.Plan, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (v *variables) Parent() cel.Activation { return nil }

// provider teaches CEL the fields of `request` on top of the standard types.
type provider struct {
	types.Provider
	fields map[string]*types.FieldType
}

func newProvider(base types.Provider) *provider {
	text := func(get func(Request) string) *types.FieldType {
		return field(types.StringType, func(v *variables) any { return get(v.in.Request) })
	}
	table := func(find func(Request, string) (string, bool)) *types.FieldType {
		return field(lookupType, func(v *variables) any { return &lookup{vars: v, find: find} })
	}
	return &provider{Provider: base, fields: map[string]*types.FieldType{
		"method":    text(Request.Method),
		"path":      text(Request.Path),
		"host":      text(Request.Host),
		"client_ip": text(Request.ClientIP),
		"headers": table(func(r Request, name string) (string, bool) {
			return r.Header(strings.ToLower(name))
		}),
		"query":   table(Request.Query),
		"cookies": table(Request.Cookie),
	}}
}

func field(t *types.Type, get func(*variables) any) *types.FieldType {
	return &types.FieldType{
		Type:  t,
		IsSet: func(target any) bool { _, ok := target.(*variables); return ok },
		GetFrom: func(target any) (any, error) {
			if v, ok := target.(*variables); ok {
				return get(v), nil
			}
			return nil, errors.New("no such field")
		},
	}
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if name == requestType {
		return types.NewTypeTypeWithParam(types.NewObjectType(requestType)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if name != requestType {
		return p.Provider.FindStructFieldNames(name)
	}
	names := make([]string, 0, len(p.fields))
	for field := range p.fields {
		names = append(names, field)
	}
	return names, true
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	if name != requestType {
		return p.Provider.FindStructFieldType(name, fieldName)
	}
	field, ok := p.fields[fieldName]
	return field, ok
}

// NewValue implements types.Provider. Expressions cannot make requests.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if name == requestType {
		return types.NewErr("a request cannot be made by an expression")
	}
	return p.Provider.NewValue(name, fields)
}

// lookupType is what headers, query and cookies are to the type checker.
var lookupType = types.NewMapType(types.StringType, types.StringType) //nolint:gochecknoglobals // a constant that Go cannot express

// lookup is headers, query or cookies as a CEL map that is only ever asked by name.
type lookup struct {
	vars *variables
	find func(Request, string) (string, bool)
}

var _ traits.Mapper = (*lookup)(nil)

// Find implements traits.Mapper.
func (l *lookup) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	if text, ok := l.find(l.vars.in.Request, string(name)); ok {
		return types.String(text), true
	}
	return nil, false
}

// Get implements traits.Indexer.
func (l *lookup) Get(key ref.Val) ref.Val {
	v, ok := l.Find(key)
	if !ok {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

// Contains implements traits.Container.
func (l *lookup) Contains(key ref.Val) ref.Val {
	v, ok := l.Find(key)
	if v != nil && types.IsUnknownOrError(v) {
		return v
	}
	return types.Bool(ok)
}

// The rest of the interface is never reached: compile refuses every other use.

func (l *lookup) Size() ref.Val { return errNotListed() }

func (l *lookup) Iterator() traits.Iterator {
	return types.NewStringStringMap(types.DefaultTypeAdapter, nil).Iterator()
}

func (l *lookup) Equal(ref.Val) ref.Val { return errNotListed() }

func (l *lookup) ConvertToType(ref.Type) ref.Val { return errNotListed() }

func (l *lookup) ConvertToNative(reflect.Type) (any, error) { return nil, errors.New(notListed) }

func (l *lookup) Type() ref.Type { return types.MapType }

func (l *lookup) Value() any { return l }

const notListed = "headers, query and cookies can only be looked up by name"

func errNotListed() ref.Val { return types.NewErr(notListed) }
