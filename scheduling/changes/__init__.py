"""What reconciliation is made of: groups as they were observed, failures, memory, what may go when."""
