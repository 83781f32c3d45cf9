"""Floor 5, live shells round GroupScheduler: processes that run sharded JAX models."""
