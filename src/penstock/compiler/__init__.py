"""The compiler: a declaration, or a Python function that returns a TFX pipeline, becomes TFX's IR."""
