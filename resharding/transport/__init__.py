"""Bytes between processes: one interface; a transport for hosts (shared memory, TCP), one for GPUs (NCCL)."""
