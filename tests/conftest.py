"""Eight virtual CPU devices for tests that import jax; a worker that sets its own number overrides it."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
