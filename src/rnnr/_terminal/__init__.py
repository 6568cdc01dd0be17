"""A run in the terminal: ``python -m rnnr watch``."""
