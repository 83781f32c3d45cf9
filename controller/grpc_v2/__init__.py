"""The v2 inference protocol over gRPC: a thin shell round a `Fleet` that decides, queues and counts.

Empty, since clients import its messages and nothing that a server needs.
"""
