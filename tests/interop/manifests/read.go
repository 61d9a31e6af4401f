package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// objects is everything that is deployed, by kind.
type objects struct {
	namespaces map[string]*corev1.Namespace
	accounts   map[string]*corev1.ServiceAccount
	configs    map[string]*corev1.ConfigMap
	services   map[string]*corev1.Service
	sets       map[string]*appsv1.StatefulSet
	budgets    map[string]*policyv1.PodDisruptionBudget
}

func readFolder(folder string) (*objects, error) {
	all := &objects{
		namespaces: map[string]*corev1.Namespace{},
		accounts:   map[string]*corev1.ServiceAccount{},
		configs:    map[string]*corev1.ConfigMap{},
		services:   map[string]*corev1.Service{},
		sets:       map[string]*appsv1.StatefulSet{},
		budgets:    map[string]*policyv1.PodDisruptionBudget{},
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no manifests in %s", folder)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			if err := all.add(document); err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
		}
	}
	return all, nil
}

// add reads one object. A field that its type doesn't have, or that is there twice, is an error.
func (all *objects) add(document []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Namespace":
		return strict(document, all.namespaces, func(it *corev1.Namespace) string { return it.Name })
	case "v1 ServiceAccount":
		return strict(document, all.accounts, func(it *corev1.ServiceAccount) string { return it.Name })
	case "v1 ConfigMap":
		return strict(document, all.configs, func(it *corev1.ConfigMap) string { return it.Name })
	case "v1 Service":
		return strict(document, all.services, func(it *corev1.Service) string { return it.Name })
	case "apps/v1 StatefulSet":
		return strict(document, all.sets, func(it *appsv1.StatefulSet) string { return it.Name })
	case "policy/v1 PodDisruptionBudget":
		return strict(document, all.budgets, func(it *policyv1.PodDisruptionBudget) string { return it.Name })
	default:
		return fmt.Errorf("%q %q is none of the kinds that are expected here", kind.APIVersion, kind.Kind)
	}
}

func strict[T any](document []byte, into map[string]*T, name func(*T) string) error {
	object := new(T)
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		return err
	}
	if name(object) == "" {
		return fmt.Errorf("an object has no name")
	}
	if into[name(object)] != nil {
		return fmt.Errorf("%s is there twice", name(object))
	}
	into[name(object)] = object
	return nil
}
