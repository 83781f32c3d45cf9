"""Eight virtual CPU devices for tests that import jax; a worker that sets its own number overrides it.

Compiled programs are kept beside the tests, so that of many fleets with one model only the first compiles it.
"""

import os
import signal
from pathlib import Path

from hypothesis import HealthCheck, settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
_COMPILED = Path(__file__).resolve().parent.parent / "build" / "compiled"
if os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_COMPILED)) == str(_COMPILED):
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# A shell starts what it runs in the background deaf to Ctrl-C, and what tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
