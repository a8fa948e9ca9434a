"""TFX's Evaluator, which asks a SavedModel only where its answers are not on record."""
