"""Floor 7, the front door: the command line and the Python client (`statmux.client`)."""
