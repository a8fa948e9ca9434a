"""Data from outside of any run: labelled images that a pushed version is measured on, and new data beside those of the training."""
