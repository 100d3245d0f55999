"""How an answer is judged: what the checks of all chapters share, and the registry that finds them."""
