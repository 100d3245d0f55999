"""DynamicTanh, Derf and the scaled residual add: every entry by itself."""
