"""Grad-CAM: which regions of an image speak for a class."""
