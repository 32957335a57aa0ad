"""The web pages of `penstock dashboard`. Nothing here loads TensorFlow, Beam or TFX."""
