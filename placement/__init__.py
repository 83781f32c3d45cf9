"""Floor 4, searches for a Placement; scores candidates by simulating them. Never imports jax or ray."""
