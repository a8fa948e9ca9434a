"""The client of TensorFlow Serving and of the embedded server; imports neither TensorFlow nor Keras."""
