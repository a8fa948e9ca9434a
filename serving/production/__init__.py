"""TensorFlow Serving in production: its configuration files, and how versions are promoted and rolled back."""
