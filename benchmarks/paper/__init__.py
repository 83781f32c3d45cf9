"""Parts of benchmarks/alpaserve_paper.py: fleets, traffic, policies, figures, the published points."""
