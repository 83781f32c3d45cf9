"""Who wants a fleet to change, and what: files and plans applied, models by name, drift, demand."""
