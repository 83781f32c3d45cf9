"""`statmux plan`: asked, searched, explained, compared with another plan, shown."""
