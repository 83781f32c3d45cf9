"""The v2 protocol on the wire: inference.proto, its compiled descriptor set, and the script that compiles it."""
