package gitops

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// As the fields of our kinds are named that hold the name of another object.
var namesAnother = regexp.MustCompile(`(Secret|SecretRef|Secrets|serviceAccount|claimName|(Ref|Secrets)/name)$`)

type schema struct {
	Type       string
	Properties map[string]schema
	Items      *schema
}

func (s schema) references(path string) []string {
	var found []string
	if s.Type == "string" && namesAnother.MatchString(path) {
		found = append(found, path)
	}
	for name, property := range s.Properties {
		found = append(found, property.references(strings.TrimPrefix(path+"/"+name, "/"))...)
	}
	if s.Items != nil {
		found = append(found, s.Items.references(path)...)
	}
	return found
}

// A name that kustomize makes must arrive in every field, also in one that is added to a kind later.
func TestKustomizeKnowsEveryReference(t *testing.T) {
	type definition struct {
		Spec struct {
			Names    struct{ Kind string }
			Versions []struct {
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	type configuration struct {
		NameReference []struct {
			Kind       string
			FieldSpecs []struct{ Kind, Path string }
		}
	}
	var expected, found []string
	files, err := filepath.Glob("../../crds/*.yaml")
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("crds/ has %d files, expected one per kind (%v)", len(files), err)
	}
	for _, file := range files {
		crd := read[definition](t, file).Spec
		for _, version := range crd.Versions {
			for _, path := range version.Schema.OpenAPIV3Schema.Properties["spec"].references("spec") {
				expected = append(expected, crd.Names.Kind+" "+path)
			}
		}
	}
	for _, reference := range read[configuration](t, "../../deploy/kustomize/name-reference.yaml").NameReference {
		for _, field := range reference.FieldSpecs {
			found = append(found, field.Kind+" "+field.Path)
		}
	}
	slices.Sort(expected)
	slices.Sort(found)
	// A reference to a Flux source is one for each kind of them.
	found = slices.Compact(found)
	if !slices.Equal(found, expected) {
		t.Errorf("deploy/kustomize/name-reference.yaml names\n%s\nexpected\n%s", strings.Join(found, "\n"), strings.Join(expected, "\n"))
	}
}
