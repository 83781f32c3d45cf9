"""Models that generate on devices: paged keys and values, one ragged step for prompts and answers."""
