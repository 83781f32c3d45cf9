"""Functions of JAX as layer graphs, and sharded as a plan says."""
