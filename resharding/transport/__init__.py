"""Bytes between processes: one interface, and a transport for hosts (shared memory inside, TCP between)."""
