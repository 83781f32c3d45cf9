"""How good any plan could be: an upper bound by a linear programme, and what memory costs."""
