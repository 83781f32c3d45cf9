"""The servers that benchmarks/endpoint.py compares: each answers the same no-op call in its own processes."""
