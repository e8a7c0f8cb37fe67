package tools_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryRefusalHasACause: a refusal that can have several causes is never returned
// without one, since an operator could not tell why a request was refused.
func TestEveryRefusalHasACause(t *testing.T) {
	several := severalCauses(t)
	if !several["InvalidToken"] || several["NotReady"] {
		t.Fatalf("several causes: %v", several)
	}
	for _, tree := range []string{"gateway", "shared"} {
		err := filepath.WalkDir(filepath.Join("..", "..", tree), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, at := range causeless(t, path, source, several) {
				t.Errorf("%s: refuses without a cause: write denial.X.Because(cause.Y)", at)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCauseless: the search finds what it looks for.
func TestCauseless(t *testing.T) {
	several := map[string]bool{"InvalidToken": true}
	for body, want := range map[string]int{
		"return denial.InvalidToken":                                 1,
		"return Failure{Denial: denial.InvalidToken}":                1,
		"return refuse(denial.InvalidToken)":                         1,
		"return denial.InvalidToken.Because(cause.Unspecified)":      1,
		"return denial.InvalidToken.Because(cause.Audience)":         0,
		"return denial.NotReady":                                     0,
		"if errors.Is(err, denial.InvalidToken) { return nil }":      0,
		"var d = denial.InvalidToken; return d.Because(cause.Scope)": 1,
	} {
		if got := causeless(t, "x.go", []byte("package x\nfunc f() error { "+body+" }"), several); len(got) != want {
			t.Errorf("%s: %d found, want %d", body, len(got), want)
		}
	}
}

// causeless lists where a source uses a refusal of several causes as it is.
func causeless(t *testing.T, path string, source []byte, several map[string]bool) (found []token.Position) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	fine := map[ast.Node]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch name := selected(call.Fun); {
		case name == "Is":
			for _, argument := range call.Args {
				fine[argument] = true
			}
		case name == "Because" && len(call.Args) == 1 && selected(call.Args[0]) != "Unspecified":
			fine[call.Fun.(*ast.SelectorExpr).X] = true //nolint:forcetypeassert // selected has looked
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if of, ok := s.X.(*ast.Ident); ok && of.Name == "denial" && several[s.Sel.Name] && !fine[s] {
			found = append(found, files.Position(s.Pos()))
		}
		return true
	})
	return found
}

// selected is the name behind the dot; empty: there is none.
func selected(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		return s.Sel.Name
	}
	return ""
}

// severalCauses are the refusals that are defined without a cause of their own.
func severalCauses(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "shared", "denial", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	several := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		define, ok := v.Values[0].(*ast.CallExpr)
		if !ok || len(define.Args) != 1 {
			return true
		}
		if spec, ok := define.Args[0].(*ast.CompositeLit); ok && !hasField(spec, "cause") {
			several[v.Names[0].Name] = true
		}
		return true
	})
	return several
}

func hasField(literal *ast.CompositeLit, name string) bool {
	for _, element := range literal.Elts {
		if kv, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return true
			}
		}
	}
	return false
}
