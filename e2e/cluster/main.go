// Command postboat-cluster holds every server of a one-node Kubernetes and its command line tools in one binary.
// The name it is called by (or its first argument) chooses the program, as busybox does.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

// programs maps the name a user knows a program by to its entry point. Each entry point reads os.Args and exits by itself.
var programs = map[string]func(){
	"containerd":              runContainerd,
	"coredns":                 runCoreDNS,
	"ctr":                     runCtr,
	"etcd":                    runEtcd,
	"helm":                    runHelm,
	"kube-apiserver":          runAPIServer,
	"kube-controller-manager": runControllerManager,
	"kube-proxy":              runKubeProxy,
	"kube-scheduler":          runScheduler,
	"kubectl":                 runKubectl,
	"kubelet":                 runKubelet,
	"load-balancer":           runLoadBalancer,
	"local-volumes":           runLocalVolumes,
	"network-policy":          runNetworkPolicy,
}

func main() {
	name := filepath.Base(os.Args[0])
	if run, ok := programs[name]; ok {
		run()
		return
	}
	if len(os.Args) > 1 {
		if run, ok := programs[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			run()
			return
		}
	}
	names := make([]string, 0, len(programs))
	for n := range programs {
		names = append(names, n)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: %s PROGRAM [ARGUMENT...]\nprograms: %v\n", name, names)
	os.Exit(2)
}
