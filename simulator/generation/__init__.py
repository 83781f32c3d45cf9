"""Engines that generate, compiled; the rule of a step, and step times fitted to measurements."""
