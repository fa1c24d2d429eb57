"""The running operator: informers in, plans out, and the status of every object.

Clocks, threads and queues live here and in `cluster`, nowhere else in the operator.

Threads, and what each owns:

1. main: the event loop of kopf (start, stop, login), then two HTTP servers for probes and metrics.
2. informers: one thread a watched type and namespace (`cluster.reflector`). They own the copies in `watch.informers`
   and call `process.manager`, which puts each change into the change buffer of the MailServers that it concerns.
3. worker, one a MailServer (`reconcile.worker`): owns the planner, the namespace cache and the plan; applies with a
   shared pool of threads.
4. observer, one a MailServer (`rollout.observer`): owns what the pods report; annotates and asks with shared pools.
5. monitor, one a MailServer (`mailstore.monitor`): owns the inventory of the stores; erases in a thread of its own.
6. writers: twelve threads for statuses and four for finalizers (`statuses.retry_queue`), one for Events.
7. Secrets: one thread reads those without the watch label in turns, with a pool of readers (`cluster.secrets`).
8. Lease: one thread (`cluster.lease`). It pauses or starts all reconcilers; what remains of the Lease fences writes.

Locks are taken in this order: that of the manager, that of a reporter, and then any of those that guard the fields of
one object, under which nothing else is called.
"""
