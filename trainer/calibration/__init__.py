"""What a model says about its own answers: calibrated probabilities, sets of classes, and whether a picture is like its training images."""
