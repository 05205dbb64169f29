"""Data set, training, evaluation and deployment of the field-of-view classifier."""
