package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net/netip"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
)

const loadBalancerClass = "postboat.test/load-balancer"

type loadBalancer struct {
	*loop
	pool     netip.Prefix
	services corelisters.ServiceLister
}

// runLoadBalancer gives each Service of type LoadBalancer an address. kube-proxy does the rest, since the whole network
// of the cluster is routed to its only node.
func runLoadBalancer() {
	flags := flag.NewFlagSet("load-balancer", flag.ExitOnError)
	pool := flags.String("addresses", "", "network the addresses are taken from")
	l := newLoop("load-balancer", flags)
	prefix, err := netip.ParsePrefix(*pool)
	if err != nil {
		log.Fatal(err)
	}
	services := l.factory.Core().V1().Services()
	l.watch(services.Informer())
	b := &loadBalancer{l, prefix, services.Lister()}
	l.run(b.round)
}

// concerns tells whether a Service gets its address here.
func concerns(service *core.Service) bool {
	class := service.Spec.LoadBalancerClass
	return service.Spec.Type == core.ServiceTypeLoadBalancer && (class == nil || *class == loadBalancerClass)
}

func (b *loadBalancer) round() error {
	services, _ := b.services.List(labels.Everything())
	taken := map[netip.Addr]bool{}
	for _, service := range services {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if address, err := netip.ParseAddr(ingress.IP); err == nil {
				taken[address] = true
			}
		}
	}
	var failures []error
	for _, service := range services {
		if concerns(service) && len(service.Status.LoadBalancer.Ingress) == 0 {
			failures = append(failures, b.assign(service, taken))
		}
	}
	return errors.Join(failures...)
}

// choose returns the address the Service asks for, or else the first free one.
func (b *loadBalancer) choose(service *core.Service, taken map[netip.Addr]bool) (netip.Addr, error) {
	if wish := service.Spec.LoadBalancerIP; wish != "" {
		address, err := netip.ParseAddr(wish)
		if err != nil || !b.pool.Contains(address) || taken[address] {
			return address, fmt.Errorf("%s/%s: %s is not to be had", service.Namespace, service.Name, wish)
		}
		return address, nil
	}
	for address := b.pool.Addr().Next(); b.pool.Contains(address); address = address.Next() {
		if !taken[address] {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address left in %s", b.pool)
}

func (b *loadBalancer) assign(service *core.Service, taken map[netip.Addr]bool) error {
	address, err := b.choose(service, taken)
	if err != nil {
		return err
	}
	taken[address] = true
	mode := core.LoadBalancerIPModeVIP
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}}
	_, err = b.client.CoreV1().Services(service.Namespace).UpdateStatus(b.ctx, changed, meta.UpdateOptions{})
	log.Printf("%s/%s is %s", service.Namespace, service.Name, address)
	return err
}
