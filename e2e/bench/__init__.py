"""The benchmark: what the operator takes, beside what the cluster itself takes for the same, measured in one run."""
