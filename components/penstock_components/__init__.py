"""TFX components of our own. They need TFX, and nothing of the platform."""
