"""Floor 2, the pure machines that decide: route, admit, queue, batch. No clock, socket, thread or log."""
