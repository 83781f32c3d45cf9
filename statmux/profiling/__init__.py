"""Where profiles come from: measurements on this machine, estimates, and Alpa's files."""
