"""Trains the small model that demos and tests generate with."""
