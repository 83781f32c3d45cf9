"""Candidates in lanes against the scalar scorer: the same counts and the same sum, to the last bit."""

import numpy as np
import pytest

from simulator.fast import Scorer
from simulator.lanes import LaneScorer
from tests.simulator.random_fleets import random_fleet
from vocabulary.deployment import Policy

def test_smoke():
    for seed in range(8):
      for router in ("shortest_expected_delay","min_stage_clock"):
        for admission in ("slo","none"):
          for tick in (None, .25):
            fleet = random_fleet(seed, policy=Policy(router=router, admission=admission),tick_s=tick)
            layout = tuple(g.config for g in fleet.placement.groups)
            rng = np.random.default_rng(seed)
            contents = [[rng.permutation(3)[:rng.integers(0,4)].tolist() for _ in layout] for _ in range(19)]
            for trim in (0, 10):
                scalar = Scorer(fleet.trace, deployment=fleet.deployment, trim_s=trim)
                for one, content in zip(LaneScorer(fleet.trace, deployment=fleet.deployment, trim_s=trim).tallies(layout, contents, num_threads=2), contents):
                    other = scalar.tally(layout, content)
                    assert one.num_good.tolist()==other.num_good.tolist()
                    assert one.num_routed.tolist()==other.num_routed.tolist()
                    assert one.total_latency_s==other.total_latency_s
                    assert one.num_requests.tolist()==other.num_requests.tolist()
