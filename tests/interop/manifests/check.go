package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// name is that of everything of ours.
const name = "strongroom"

// complaints collects what is wrong.
type complaints []string

func (all *complaints) unless(holds bool, format string, arguments ...any) {
	if !holds {
		*all = append(*all, fmt.Sprintf(format, arguments...))
	}
}

// check says what is wrong although every field is one that exists.
func (all *objects) check() complaints {
	var wrong complaints
	wrong.unless(all.namespaces[name] != nil, "there is no namespace %s", name)
	for _, object := range all.named() {
		wrong.unless(object.GetNamespace() == name, "%s is in another namespace", object.GetName())
		invalid := validation.IsDNS1123Label(object.GetName())
		wrong.unless(len(invalid) == 0, "%s is no name: %v", object.GetName(), invalid)
	}
	set := all.sets[name]
	if set == nil {
		return append(wrong, "there is no stateful set")
	}
	pod := set.Spec.Template
	chosen := labels.Set(pod.Labels)
	for _, service := range all.services {
		selector := labels.SelectorFromSet(service.Spec.Selector)
		wrong.unless(len(service.Spec.Selector) > 0 && selector.Matches(chosen), "service %s finds no pod", service.Name)
		for _, port := range service.Spec.Ports {
			wrong.unless(hasPort(&pod.Spec, port.TargetPort), "service %s leads to no port", service.Name)
		}
	}
	for what, selector := range map[string]*metav1.LabelSelector{"the set": set.Spec.Selector, "the budget": all.budget()} {
		matcher, err := metav1.LabelSelectorAsSelector(selector)
		wrong.unless(err == nil && !matcher.Empty() && matcher.Matches(chosen), "%s finds no pod", what)
	}
	governing := all.services[set.Spec.ServiceName]
	wrong.unless(governing != nil && governing.Spec.ClusterIP == corev1.ClusterIPNone, "the set has no headless service")
	wrong.unless(governing != nil && governing.Spec.PublishNotReadyAddresses, "a sealed pod has no name")
	wrong.unless(set.Spec.Replicas != nil && *set.Spec.Replicas == 1, "the embedded store is for one server")
	wrong.unless(all.accounts[pod.Spec.ServiceAccountName] != nil, "there is no service account %s", pod.Spec.ServiceAccountName)
	all.checkPod(set, &wrong)
	return wrong
}

func (all *objects) checkPod(set *appsv1.StatefulSet, wrong *complaints) {
	pod := &set.Spec.Template.Spec
	context := pod.SecurityContext
	if context == nil {
		*wrong = append(*wrong, "the pod has no security context")
		return
	}
	wrong.unless(isTrue(context.RunAsNonRoot) && context.RunAsUser != nil && *context.RunAsUser > 0, "the pod may be root")
	wrong.unless(context.SeccompProfile != nil, "the pod has no seccomp profile")
	wrong.unless(pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken, "the pod gets a token of the cluster")
	volumes := map[string]bool{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = true
		if volume.ConfigMap != nil {
			wrong.unless(all.configs[volume.ConfigMap.Name] != nil, "there is no config map %s", volume.ConfigMap.Name)
		}
	}
	for _, claim := range set.Spec.VolumeClaimTemplates {
		volumes[claim.Name] = true
	}
	for _, container := range append(append([]corev1.Container{}, pod.InitContainers...), pod.Containers...) {
		checkContainer(&container, volumes, wrong)
	}
	server := serverOf(pod)
	if server == nil {
		*wrong = append(*wrong, "there is no server in the pod")
		return
	}
	for what, probe := range map[string]*corev1.Probe{"liveness": server.LivenessProbe, "readiness": server.ReadinessProbe} {
		asks := probe != nil && probe.HTTPGet != nil
		wrong.unless(asks && probe.HTTPGet.Scheme == corev1.URISchemeHTTPS, "the %s probe doesn't ask over TLS", what)
		wrong.unless(asks && hasPort(pod, probe.HTTPGet.Port), "the %s probe asks at no port", what)
	}
}

func checkContainer(container *corev1.Container, volumes map[string]bool, wrong *complaints) {
	context := container.SecurityContext
	if context == nil || context.Capabilities == nil {
		*wrong = append(*wrong, container.Name+" has no security context")
		return
	}
	wrong.unless(context.AllowPrivilegeEscalation != nil && !*context.AllowPrivilegeEscalation, "%s may become more", container.Name)
	wrong.unless(isTrue(context.ReadOnlyRootFilesystem), "%s may write to its image", container.Name)
	dropped := context.Capabilities.Drop
	wrong.unless(len(dropped) == 1 && dropped[0] == "ALL" && len(context.Capabilities.Add) == 0, "%s keeps capabilities", container.Name)
	wrong.unless(!container.Resources.Requests.Memory().IsZero(), "%s asks for no memory", container.Name)
	wrong.unless(!container.Resources.Limits.Memory().IsZero(), "%s has no bound of memory", container.Name)
	for _, mount := range container.VolumeMounts {
		wrong.unless(volumes[mount.Name], "%s mounts %s, which isn't there", container.Name, mount.Name)
	}
}

// named is every object that has to be in the namespace.
func (all *objects) named() []metav1.Object {
	var found []metav1.Object
	for _, it := range all.accounts {
		found = append(found, it)
	}
	for _, it := range all.configs {
		found = append(found, it)
	}
	for _, it := range all.services {
		found = append(found, it)
	}
	for _, it := range all.sets {
		found = append(found, it)
	}
	for _, it := range all.budgets {
		found = append(found, it)
	}
	return found
}

func (all *objects) budget() *metav1.LabelSelector {
	if budget := all.budgets[name]; budget != nil {
		return budget.Spec.Selector
	}
	return nil
}

func hasPort(pod *corev1.PodSpec, wanted intstr.IntOrString) bool {
	for _, container := range pod.Containers {
		for _, port := range container.Ports {
			if port.Name == wanted.StrVal || port.ContainerPort == wanted.IntVal {
				return true
			}
		}
	}
	return false
}

func serverOf(pod *corev1.PodSpec) *corev1.Container {
	for index := range pod.Containers {
		if pod.Containers[index].Name == name {
			return &pod.Containers[index]
		}
	}
	return nil
}

func isTrue(flag *bool) bool { return flag != nil && *flag }

// report is asked for only when there is nothing to complain about.
func (all *objects) report() report {
	pod := &all.sets[name].Spec.Template.Spec
	server := serverOf(pod)
	mounts := map[string]string{}
	for _, mount := range server.VolumeMounts {
		mounts[mount.Name] = mount.MountPath
	}
	return report{
		Config: all.configs[name].Data,
		Mounts: mounts,
		Args:   server.Args,
		Probes: map[string]string{
			"liveness":  server.LivenessProbe.HTTPGet.Path,
			"readiness": server.ReadinessProbe.HTTPGet.Path,
		},
		User: *pod.SecurityContext.RunAsUser,
	}
}
