"""From a trained Keras model to a checked SavedModel."""
