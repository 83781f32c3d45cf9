"""Backends of paged attention: one interface, several layouts and kernels."""
