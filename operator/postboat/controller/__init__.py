"""The running operator: it joins what the cluster tells with what the pure core decides.

Threads, clocks, queues and the process itself live here and nowhere else.
"""
