"""Text and bytes <-> nouns: every file format, as pure functions. Only `disk` touches the file system."""
