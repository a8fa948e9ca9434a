"""From what was gathered to the page: reads no artifact, knows neither TFX nor TensorFlow."""
