// Package gitops tests what GitOps tools make of our objects, with those tools' own libraries.
package gitops

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

const keyPrefix = "resource.customizations.health.workflow.example.com_"

var kinds = []string{"WorkflowBackup", "WorkflowCluster", "WorkflowProcess", "WorkflowTenant", "WorkflowWorker"}

type verdict struct {
	Kstatus, Argocd, Message string
}

func read[T any](t *testing.T, path string) T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var into T
	if err := yaml.Unmarshal(text, &into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return into
}

// healthChecks are the scripts of deploy/argocd by kind.
func healthChecks(t *testing.T) map[string]string {
	t.Helper()
	configMap := read[struct{ Data map[string]string }](t, "../../deploy/argocd/argocd-cm.yaml")
	scripts := map[string]string{}
	for key, script := range configMap.Data {
		if len(key) <= len(keyPrefix) || key[:len(keyPrefix)] != keyPrefix {
			t.Errorf("deploy/argocd sets the key %s, which is no health check of ours", key)
			continue
		}
		scripts[key[len(keyPrefix):]] = script
	}
	if found := slices.Sorted(maps.Keys(scripts)); !slices.Equal(found, kinds) {
		t.Fatalf("deploy/argocd has health checks of %v, expected %v", found, kinds)
	}
	return scripts
}

// judgedByArgoCD runs a script as Argo CD does: the resource is the global `obj`, there are no libraries but base and table, and a
// table with a status that Argo CD knows comes back.
func judgedByArgoCD(t *testing.T, script string, object map[string]any) (string, string) {
	t.Helper()
	vm := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer vm.Close()
	for name, library := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := vm.CallByParam(lua.P{Fn: vm.NewFunction(library), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	vm.SetGlobal("obj", luaValue(vm, object))
	if err := vm.DoString(script); err != nil {
		t.Fatal(err)
	}
	answer, isTable := vm.Get(-1).(*lua.LTable)
	if !isTable {
		t.Fatalf("the script returned %v and no table", vm.Get(-1))
	}
	return lua.LVAsString(answer.RawGetString("status")), lua.LVAsString(answer.RawGetString("message"))
}

func luaValue(vm *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		list := vm.NewTable()
		for _, element := range value {
			list.Append(luaValue(vm, element))
		}
		return list
	case map[string]any:
		table := vm.NewTable()
		for key, field := range value {
			table.RawSetString(key, luaValue(vm, field))
		}
		return table
	}
	return lua.LNil
}

func judgedByKstatus(t *testing.T, object map[string]any) string {
	t.Helper()
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status.String()
}

func judged(t *testing.T, kind, script string, object map[string]any) verdict {
	t.Helper()
	object["apiVersion"], object["kind"] = "workflow.example.com/v1alpha1", kind
	// From YAML every number is a float; from an API server a whole number is an integer.
	for _, path := range [][]string{{"metadata", "generation"}, {"status", "observedGeneration"}} {
		if number, found, _ := unstructured.NestedFloat64(object, path...); found {
			if err := unstructured.SetNestedField(object, int64(number), path...); err != nil {
				t.Fatal(err)
			}
		}
	}
	health, message := judgedByArgoCD(t, script, object)
	return verdict{judgedByKstatus(t, object), health, message}
}

func TestStatesAreUnderstood(t *testing.T) {
	type testCase struct {
		Name, Kstatus, Argocd, Message string
		Object                         map[string]any
	}
	scripts := healthChecks(t)
	for _, kind := range kinds {
		for _, c := range read[[]testCase](t, "cases.yaml") {
			expected := verdict{c.Kstatus, c.Argocd, c.Message}
			if expected.Message == "" {
				expected.Message = "m"
			}
			if found := judged(t, kind, scripts[kind], c.Object); found != expected {
				t.Errorf("%s, %s: found %+v, expected %+v", kind, c.Name, found, expected)
			}
		}
	}
}

// What nobody has looked at is not done: the API server gives it the status that the CRD has as default.
func TestUnseenObjectIsInProgress(t *testing.T) {
	type property struct{ Default map[string]any }
	type definition struct {
		Spec struct {
			Names    struct{ Kind string }
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema struct{ Properties map[string]property }
				}
			}
		}
	}
	scripts := healthChecks(t)
	files, err := filepath.Glob("../../crds/*.yaml")
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("crds/ has %d files, expected one per kind (%v)", len(files), err)
	}
	for _, file := range files {
		crd := read[definition](t, file).Spec
		kind := crd.Names.Kind
		for _, version := range crd.Versions {
			object := map[string]any{"metadata": map[string]any{"generation": int64(1)}}
			if unseen := version.Schema.OpenAPIV3Schema.Properties["status"].Default; unseen != nil {
				object["status"] = unseen
			}
			expected := verdict{"InProgress", "Progressing", "the controller has not seen this version of the spec yet"}
			if found := judged(t, kind, scripts[kind], object); found != expected {
				t.Errorf("%s: found %+v, expected %+v", kind, found, expected)
			}
		}
	}
}

// What the cluster-controller wrote in a test of its own at each stage of an upgrade, for kstatus and Argo CD. A stage that goes on is
// never current, and one that waits for another spec is told as failed.
func TestStagesOfAnUpgradeAreUnderstood(t *testing.T) {
	type seen struct {
		Name   string
		Object map[string]any
	}
	final := map[string]verdict{
		"Done, phase Running":        {"Current", "Healthy", "m"},
		"RolledBack, phase Degraded": {"Failed", "Degraded", "m"},
		"RolledBack, phase Stopped":  {"Current", "Suspended", "m"},
		"Failed, phase Degraded":     {"Failed", "Degraded", "m"},
	}
	script := healthChecks(t)["WorkflowCluster"]
	for _, s := range read[[]seen](t, "upgrade-stages.json") {
		expected, isFinal := final[s.Name]
		if !isFinal {
			expected = verdict{"InProgress", "Progressing", "m"}
		}
		delete(final, s.Name)
		if found := judged(t, "WorkflowCluster", script, s.Object); found != expected {
			t.Errorf("%s: found %+v, expected %+v", s.Name, found, expected)
		}
	}
	for name := range final {
		t.Errorf("no status is %q", name)
	}
}
