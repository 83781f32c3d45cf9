"""The life of a fleet: what is wanted comes to run, comes back when it is lost, and ends in order."""
