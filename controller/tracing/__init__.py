"""What became of a request, told to OpenTelemetry: see docs/how-to/trace-requests.md and decision 44."""
