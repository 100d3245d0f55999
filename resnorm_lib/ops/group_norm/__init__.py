"""GroupNorm: each sample by itself, over groups of its channels."""
