"""Points of the paper's own figures (model set S3, 72 models; result tables of the published artifact).

Theirs are on the full Azure Functions traces at rates of their own; ours on a sample of 1,000 functions: the
shapes compare, the abscissae do not.
"""

from __future__ import annotations

from collections.abc import Mapping

Points = tuple[tuple[float, float], ...]

ALPASERVE, CLOCKWORK, REPLICATION = "AlpaServe", "Clockwork++", "selective replication"
# Axis -> policy -> (value, attainment), Azure Functions 2019.
AZURE_2019: Mapping[str, Mapping[str, Points]] = {
    "devices": {
        ALPASERVE: ((40, 0.95), (54, 0.989), (64, 0.99)),
        CLOCKWORK: ((54, 0.95), (96, 0.99)),
        REPLICATION: ((72, 0.95), (96, 0.978)),
    },
    "rate_scale": {ALPASERVE: ((8e-3, 0.969),), CLOCKWORK: ((1e-3, 0.95),)},
    "cv_scale": {
        ALPASERVE: ((3, 0.99), (4, 0.95)),
        CLOCKWORK: ((3, 0.95),),
        REPLICATION: ((2, 0.95),),
    },
    "slo_scale": {ALPASERVE: ((4, 0.95), (7.5, 0.99)), CLOCKWORK: ((7.5, 0.95),)},
}
