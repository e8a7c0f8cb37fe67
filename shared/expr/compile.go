package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// scope says which variables an expression sees.
type scope int

const (
	forRequest scope = iota
	forClaims
	forLimit
)

// environments holds the compiler's immutable settings by scope. Making them
// takes milliseconds and a resource file may hold thousands of expressions.
var environments = sync.OnceValues(newEnvironments) //nolint:gochecknoglobals // computed once, never changed

func newEnvironments() (map[scope]*cel.Env, error) {
	base, err := cel.NewEnv(
		cel.OptionalTypes(), ext.Strings(),
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxSource), cel.ParserRecursionLimit(64),
		cel.ASTValidators(
			cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateComprehensionNestingLimit(2)),
	)
	if err != nil {
		return nil, err
	}
	ours := cel.CustomTypeProvider(newProvider(base.CELTypeProvider()))
	request := cel.Variable("request", types.NewObjectType(requestType))
	claims := cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType))
	envs := map[scope]*cel.Env{}
	for s, vars := range map[scope][]cel.EnvOption{
		forRequest: {request},
		forClaims:  {claims},
		forLimit:   {request, claims, cel.Variable("application", cel.StringType), cel.Variable("plan", cel.StringType)},
	} {
		if envs[s], err = base.Extend(append(vars, ours)...); err != nil {
			return nil, err
		}
	}
	return envs, nil
}

func compile(src string, s scope, want string, results ...*cel.Type) (cel.Program, error) {
	switch {
	case strings.TrimSpace(src) == "":
		return nil, errors.New("the expression is empty")
	case len(src) > MaxSource:
		return nil, fmt.Errorf("the expression has %d bytes; at most %d are allowed", len(src), MaxSource)
	}
	envs, err := environments()
	if err != nil {
		return nil, fmt.Errorf("prepare expressions: %w", err)
	}
	env := envs[s]
	checked, issues := env.Compile(src)
	if issues.Err() != nil {
		return nil, describe(issues)
	}
	if got := checked.OutputType(); !slices.ContainsFunc(results, got.IsExactType) && !got.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("1:1: the expression gives %s, but %s is needed", got, want)
	}
	if err := onlyLookedUp(checked); err != nil {
		return nil, err
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if mayCostTooMuch(env, checked) {
		options = append(options, cel.CostLimit(MaxCost))
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		return nil, fmt.Errorf("plan expression: %w", err)
	}
	return program, nil
}

// describe puts the compiler's findings on one line: "1:9: undeclared reference to 'x'; …".
func describe(issues *cel.Issues) error {
	found := issues.Errors()
	const most = 3
	var b strings.Builder
	for i, e := range found[:min(len(found), most)] {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d:%d: %s", max(e.Location.Line(), 1), e.Location.Column()+1, strings.TrimSpace(e.Message))
	}
	if len(found) > most {
		fmt.Fprintf(&b, "; and %d more", len(found)-most)
	}
	return errors.New(b.String())
}

// onlyLookedUp refuses every use of request.headers, query and cookies but a
// lookup by name, so that `request` need not be able to list them; and of
// `request` itself but the choice of a field.
func onlyLookedUp(checked *cel.Ast) error {
	native := checked.NativeRep()
	for _, e := range ast.MatchDescendants(ast.NavigateAST(native), func(e ast.NavigableExpr) bool {
		return isRequest(e) || isLookup(e)
	}) {
		if fine(e) {
			continue
		}
		at := native.SourceInfo().GetStartLocation(e.ID())
		return fmt.Errorf("%d:%d: %s", max(at.Line(), 1), at.Column()+1, notListed)
	}
	return nil
}

func isRequest(e ast.NavigableExpr) bool {
	return e.Kind() == ast.IdentKind && e.Type().Kind() == types.StructKind && e.Type().TypeName() == requestType
}

func isLookup(e ast.NavigableExpr) bool {
	return e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() && e.AsSelect().Operand().Kind() == ast.IdentKind &&
		e.AsSelect().Operand().AsIdent() == "request" && e.Type().Kind() == types.MapKind
}

// fine reports whether e stands where a field or a key is taken from it.
func fine(e ast.NavigableExpr) bool {
	parent, ok := e.Parent()
	if !ok {
		return false
	}
	if parent.Kind() != ast.CallKind {
		return parent.Kind() == ast.SelectKind
	}
	args := parent.AsCall().Args()
	switch parent.AsCall().FunctionName() {
	case operators.Index, operators.OptIndex, operators.OptSelect:
		return len(args) > 0 && args[0].ID() == e.ID()
	case operators.In:
		return len(args) == 2 && args[1].ID() == e.ID()
	}
	return false
}

// mayCostTooMuch reports whether the expression's worst case passes the limit.
// Only then its cost is counted while it runs, which takes longer than most
// expressions themselves.
func mayCostTooMuch(env *cel.Env, checked *cel.Ast) bool {
	worst, err := env.EstimateCost(checked, inputSizes{})
	return err != nil || worst.Max > MaxCost
}

// inputSizes bounds what a request or a token can bring: a header block and a
// token are at most 64 KiB.
type inputSizes struct{}

// EstimateSize implements checker.CostEstimator.
func (inputSizes) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Min: 0, Max: 64 << 10}
}

// EstimateCallCost implements checker.CostEstimator.
func (inputSizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
