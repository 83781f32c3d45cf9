"""Groups on a Ray cluster: started here or joined, found again, watched, ended."""
