"""Whether a Ray starts on this machine, and how long that takes."""

from __future__ import annotations

import time

from statmux.doctoring.finding import Finding, Level
from vocabulary.errors import StatmuxError

# Twice what a slow laptop takes.
GOOD_START_S = 30.0


def ray_finding() -> Finding:
    """Starts one with one device, and ends it."""
    from controller.on_ray.cluster import RayCluster
    from vocabulary.deployment import Deployment
    from vocabulary.mesh import Cluster, NodeClass

    alone = Deployment("doctor", Cluster((NodeClass("doctor", 1, "cpu", 1, 2**30),)), ())
    cluster = RayCluster(alone, progress=lambda words: None)
    start_s = time.monotonic()
    try:
        cluster.open()
    except StatmuxError as error:
        return Finding("ray", Level.BAD, error.message, error.hint or "see the log of Ray in its words")
    finally:
        cluster.close()
    return started(time.monotonic() - start_s)


def started(seconds: float) -> Finding:
    words = f"starts and ends in {seconds:.1f} s"
    if seconds > GOOD_START_S:
        return Finding("ray", Level.WARN, words, "the machine is busy, or its disk is slow")
    return Finding("ray", Level.OK, words)
