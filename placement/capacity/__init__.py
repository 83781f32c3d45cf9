"""Capacity questions: curves over devices, rate, SLO and burstiness; the smallest cluster that holds."""
