"""The confounding audit: how well the class can be told from what should not matter."""
