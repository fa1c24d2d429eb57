package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"sort"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
)

const policyTable = "postboat-policy"

type networkPolicy struct {
	*loop
	dns        string
	written    string
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networkinglisters.NetworkPolicyLister
}

// runNetworkPolicy keeps one nftables table that enforces the NetworkPolicies of the cluster on its only node.
func runNetworkPolicy() {
	flags := flag.NewFlagSet("network-policy", flag.ExitOnError)
	dns := flags.String("dns", "", "address of the cluster's DNS, which counts as a pod k8s-app=kube-dns of kube-system")
	l := newLoop("network-policy", flags)
	pods, namespaces := l.factory.Core().V1().Pods(), l.factory.Core().V1().Namespaces()
	policies := l.factory.Networking().V1().NetworkPolicies()
	l.watch(pods.Informer())
	l.watch(namespaces.Informer())
	l.watch(policies.Informer())
	n := &networkPolicy{loop: l, dns: *dns, pods: pods.Lister(), namespaces: namespaces.Lister(), policies: policies.Lister()}
	l.run(n.round)
}

func (n *networkPolicy) round() error {
	text := n.ruleset()
	if text == n.written {
		return nil
	}
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(text)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(output))
	}
	n.written = text
	return nil
}

// running returns the pods that have an address of their own, and the DNS server, which is no pod here but is one elsewhere.
func (n *networkPolicy) running() []*core.Pod {
	all, _ := n.pods.List(labels.Everything())
	found := []*core.Pod{}
	for _, pod := range all {
		ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
		if pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended {
			found = append(found, pod)
		}
	}
	if n.dns != "" {
		dns := &core.Pod{ObjectMeta: meta.ObjectMeta{
			Namespace: "kube-system", Name: "cluster-dns", Labels: map[string]string{"k8s-app": "kube-dns"},
		}}
		dns.Status.PodIP = n.dns
		found = append(found, dns)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Status.PodIP < found[j].Status.PodIP })
	return found
}

// ruleset composes the whole table. A pod that no policy selects in a direction has no chain for it and is free.
//
// Every rule matches after the address translation of kube-proxy, so it sees addresses of pods. What the node itself
// sends (the kubelet's probes) passes the output hook, where there is no rule.
func (n *networkPolicy) ruleset() string {
	pods := n.running()
	policies, _ := n.policies.List(labels.Everything())
	sort.Slice(policies, func(i, j int) bool {
		return policies[i].Namespace+"/"+policies[i].Name < policies[j].Namespace+"/"+policies[j].Name
	})
	var chains, egress, ingress strings.Builder
	for _, pod := range pods {
		address := pod.Status.PodIP
		for _, direction := range []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress} {
			selecting := n.selecting(policies, pod, direction)
			if len(selecting) == 0 {
				continue
			}
			name := strings.ToLower(string(direction)) + "-" + strings.NewReplacer(".", "-", ":", "-").Replace(address)
			fmt.Fprintf(&chains, "  chain %s {\n    ip saddr %s ip daddr %s return\n", name, address, address)
			for _, policy := range selecting {
				chains.WriteString(n.rules(policy, pod, pods, direction))
			}
			chains.WriteString("    counter drop\n  }\n")
			target := map[networking.PolicyType]*strings.Builder{"Ingress": &ingress, "Egress": &egress}[direction]
			fmt.Fprintf(target, "%s : jump %s, ", address, name)
		}
	}
	return fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
  map egress { type ipv4_addr : verdict; %[2]s }
  map ingress { type ipv4_addr : verdict; %[3]s }
%[4]s  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ip saddr vmap @egress
    ip daddr vmap @ingress
  }
  chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    ip saddr vmap @egress
  }
}
`, policyTable, elements(egress.String()), elements(ingress.String()), chains.String())
}

func elements(list string) string {
	if list == "" {
		return ""
	}
	return "elements = { " + strings.TrimSuffix(list, ", ") + " };"
}

// selecting returns the policies that select a pod in one direction.
func (n *networkPolicy) selecting(policies []*networking.NetworkPolicy, pod *core.Pod, direction networking.PolicyType) []*networking.NetworkPolicy {
	found := []*networking.NetworkPolicy{}
	for _, policy := range policies {
		directed := false
		for _, each := range policy.Spec.PolicyTypes {
			directed = directed || each == direction
		}
		if directed && policy.Namespace == pod.Namespace && matches(&policy.Spec.PodSelector, pod.Labels) {
			found = append(found, policy)
		}
	}
	return found
}

func matches(selector *meta.LabelSelector, values map[string]string) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		log.Print(err)
		return false
	}
	return parsed.Matches(labels.Set(values))
}

// rules returns the lines that let pass what one policy allows to or from one pod.
func (n *networkPolicy) rules(policy *networking.NetworkPolicy, pod *core.Pod, pods []*core.Pod, direction networking.PolicyType) string {
	var lines strings.Builder
	if direction == networking.PolicyTypeIngress {
		for _, rule := range policy.Spec.Ingress {
			for _, peer := range n.peers(policy.Namespace, rule.From, pods) {
				writeAllowed(&lines, "saddr", peer, ingressPorts(rule.Ports, pod))
			}
		}
		return lines.String()
	}
	for _, rule := range policy.Spec.Egress {
		for _, peer := range n.peers(policy.Namespace, rule.To, pods) {
			writeEgress(&lines, peer, rule.Ports, pods)
		}
	}
	return lines.String()
}

func (n *networkPolicy) namespaceMatches(selector *meta.LabelSelector, name string) bool {
	namespace, err := n.namespaces.Get(name)
	return err == nil && matches(selector, namespace.Labels)
}

// peers turns the peers of a rule into networks and pods; a rule that names none means everybody.
func (n *networkPolicy) peers(own string, peers []networking.NetworkPolicyPeer, pods []*core.Pod) []peer {
	if len(peers) == 0 {
		return []peer{{anybody: true}}
	}
	found := []peer{}
	chosen := map[types.NamespacedName]string{}
	for _, each := range peers {
		if each.IPBlock != nil {
			found = append(found, peer{network: each.IPBlock.CIDR, except: each.IPBlock.Except})
			continue
		}
		for _, pod := range pods {
			inNamespace := pod.Namespace == own
			if each.NamespaceSelector != nil {
				inNamespace = n.namespaceMatches(each.NamespaceSelector, pod.Namespace)
			}
			if inNamespace && (each.PodSelector == nil || matches(each.PodSelector, pod.Labels)) {
				chosen[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = pod.Status.PodIP
			}
		}
	}
	addresses := []string{}
	for _, address := range chosen {
		addresses = append(addresses, address)
	}
	sort.Strings(addresses)
	if len(addresses) > 0 {
		found = append(found, peer{addresses: addresses})
	}
	return found
}
