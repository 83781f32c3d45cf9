"""Floor 2, moving sharded arrays between meshes: plans are pure, only `executor` imports jax."""
