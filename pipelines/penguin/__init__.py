"""Palmer penguins: which of three species a bird belongs to."""
