"""Floor 3, a virtual clock round the machines that serve; traces, workloads and the fast scorer."""
