"""LayerNorm and RMSNorm of the last axis, alone or after a residual add."""
