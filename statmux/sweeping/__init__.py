"""The shell of capacity studies: processes, what is kept of an interrupted run, tables and files."""
