"""What a running fleet is asked over its control socket and its admin routes."""
