"""The v2 protocol on the wire: inference.proto, its descriptor set, and the script that compiles it."""
