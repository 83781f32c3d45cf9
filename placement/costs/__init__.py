"""Costs that nobody measured: estimates from a model's shape and a device type's speeds."""
