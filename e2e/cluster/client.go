package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// settle is how long a loop waits after a change, so that a burst of changes is one round of work.
const settle = 50 * time.Millisecond

// A loop looks at the whole cluster again after each change of what it watches: small clusters allow this simplicity.
type loop struct {
	ctx      context.Context
	client   kubernetes.Interface
	factory  informers.SharedInformerFactory
	changed  chan struct{}
	watching []cache.InformerSynced
}

// newLoop parses the program's flags (those the caller defined, and --kubeconfig) and connects to the API server.
func newLoop(name string, flags *flag.FlagSet) *loop {
	log.SetPrefix(name + ": ")
	path := flags.String("kubeconfig", "", "kubeconfig of the cluster")
	_ = flags.Parse(os.Args[1:])
	config, err := clientcmd.BuildConfigFromFlags("", *path)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	return &loop{ctx, client, informers.NewSharedInformerFactory(client, 0), make(chan struct{}, 1), nil}
}

func (l *loop) watch(informer cache.SharedIndexInformer) {
	notice := func() {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notice() },
		UpdateFunc: func(any, any) { notice() },
		DeleteFunc: func(any) { notice() },
	})
	if err != nil {
		log.Fatal(err)
	}
	l.watching = append(l.watching, informer.HasSynced)
}

// run calls round after every change, and again a second later when it failed.
func (l *loop) run(round func() error) {
	l.factory.Start(l.ctx.Done())
	if !cache.WaitForCacheSync(l.ctx.Done(), l.watching...) {
		log.Fatal("the watch of the cluster never began")
	}
	for {
		var again <-chan time.Time
		if err := round(); err != nil {
			log.Print(err)
			again = time.After(time.Second)
		}
		select {
		case <-l.ctx.Done():
			return
		case <-again:
		case <-l.changed:
			time.Sleep(settle)
		}
	}
}
