package main

import (
	"fmt"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A peer is whom a rule allows: everybody, a network with exceptions, or a set of pods.
type peer struct {
	anybody   bool
	network   string
	except    []string
	addresses []string
}

// match returns the nftables expression for the peer's side of a packet, `saddr` or `daddr`; false when it is no IPv4.
func (p peer) match(side string) (string, bool) {
	switch {
	case p.anybody:
		return "", true
	case p.network != "":
		if strings.Contains(p.network, ":") {
			return "", false
		}
		text := fmt.Sprintf("ip %s %s ", side, p.network)
		if len(p.except) > 0 {
			text += fmt.Sprintf("ip %s != { %s } ", side, strings.Join(p.except, ", "))
		}
		return text, true
	default:
		return fmt.Sprintf("ip %s { %s } ", side, strings.Join(p.addresses, ", ")), true
	}
}

// writeAllowed writes one rule for each port expression, or one for all ports when `ports` is nil.
func writeAllowed(lines *strings.Builder, side string, who peer, ports []string) {
	text, ok := who.match(side)
	if !ok {
		return
	}
	if ports == nil {
		ports = []string{""}
	}
	for _, port := range ports {
		fmt.Fprintf(lines, "    %s%sreturn\n", text, port)
	}
}

func protocolOf(port networking.NetworkPolicyPort) core.Protocol {
	if port.Protocol == nil {
		return core.ProtocolTCP
	}
	return *port.Protocol
}

func expression(protocol core.Protocol, port string) string {
	name := strings.ToLower(string(protocol))
	if port == "" {
		return "meta l4proto " + name + " "
	}
	return fmt.Sprintf("%s dport %s ", name, port)
}

// numbered returns the expression of a port given by number, and false for one given by name.
func numbered(port networking.NetworkPolicyPort) (string, bool) {
	switch {
	case port.Port == nil:
		return expression(protocolOf(port), ""), true
	case port.Port.Type == intstr.String:
		return "", false
	case port.EndPort != nil:
		return expression(protocolOf(port), fmt.Sprintf("%d-%d", port.Port.IntVal, *port.EndPort)), true
	default:
		return expression(protocolOf(port), fmt.Sprint(port.Port.IntVal)), true
	}
}

// namedPorts returns the expressions of a named port as the containers of a pod declare it.
func namedPorts(port networking.NetworkPolicyPort, pod *core.Pod) []string {
	found := []string{}
	containers := append([]core.Container{}, pod.Spec.Containers...)
	for _, container := range pod.Spec.InitContainers {
		if container.RestartPolicy != nil && *container.RestartPolicy == core.ContainerRestartPolicyAlways {
			containers = append(containers, container)
		}
	}
	for _, container := range containers {
		for _, each := range container.Ports {
			protocol := each.Protocol
			if protocol == "" {
				protocol = core.ProtocolTCP
			}
			if each.Name == port.Port.StrVal && protocol == protocolOf(port) {
				found = append(found, expression(protocol, fmt.Sprint(each.ContainerPort)))
			}
		}
	}
	return found
}

// ingressPorts returns the port expressions of a rule for traffic to one pod; nil means every port.
func ingressPorts(ports []networking.NetworkPolicyPort, pod *core.Pod) []string {
	if len(ports) == 0 {
		return nil
	}
	found := []string{}
	for _, port := range ports {
		if text, ok := numbered(port); ok {
			found = append(found, text)
		} else {
			found = append(found, namedPorts(port, pod)...)
		}
	}
	return found
}

// writeEgress writes the rules for one peer; a named port means what each of the pods reached calls so.
func writeEgress(lines *strings.Builder, who peer, ports []networking.NetworkPolicyPort, pods []*core.Pod) {
	if len(ports) == 0 {
		writeAllowed(lines, "daddr", who, nil)
		return
	}
	for _, port := range ports {
		if text, ok := numbered(port); ok {
			writeAllowed(lines, "daddr", who, []string{text})
			continue
		}
		match, ok := who.match("daddr")
		for _, pod := range pods {
			for _, text := range namedPorts(port, pod) {
				if ok {
					fmt.Fprintf(lines, "    %sip daddr %s %sreturn\n", match, pod.Status.PodIP, text)
				}
			}
		}
	}
}
