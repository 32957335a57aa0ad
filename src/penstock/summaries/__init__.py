"""Summaries: a small JSON view of an artifact, made where TensorFlow is loaded and read where it is not."""
