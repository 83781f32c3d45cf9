"""Further front ends: processes that answer on the fleet's ports, each with a scheduler of its own."""
