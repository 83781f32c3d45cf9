"""The paper's strategies and schedulers, to compare with (MLSys 2023, arXiv 2211.05322)."""
