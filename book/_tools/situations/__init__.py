"""The table of situations: every scheme and every norm, in whatever others do with a network."""
