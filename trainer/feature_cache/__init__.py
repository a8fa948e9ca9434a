"""What frozen backbones made of images, kept across runs. Needs NumPy alone: `cxr cache` must not wait for TensorFlow."""
