"""Simulated training data: no real patient is needed to train a model."""
