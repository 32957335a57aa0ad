"""The metadata store: where it is, Penstock's own tables in it, and reads over ml-metadata's tables.

Nothing here imports ml_metadata, TensorFlow, TFX or Beam: artifacts, executions and contexts are written through
ml-metadata by the engine and read here with SQL.
"""
