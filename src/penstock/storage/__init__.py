"""Object storage: what lies at `s3://` and `gs://` addresses, by Apache Arrow's file systems. Loads neither TFX nor
TensorFlow.
"""
