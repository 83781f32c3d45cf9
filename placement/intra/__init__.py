"""Intra-operator parallelism: a layout for every tensor of a layer graph (Alpa, OSDI 2022, section 4)."""
