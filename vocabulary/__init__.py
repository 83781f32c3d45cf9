"""Floor 1, the nouns: frozen types and pure functions of them. No clock, no policy, no I/O."""
