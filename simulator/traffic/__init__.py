"""Traffic: made, drawn anew from what was seen, fitted; same seed, same trace."""
