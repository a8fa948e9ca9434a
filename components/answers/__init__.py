"""What a model answered to each image, read back from its evaluation: beside another model's answers, and where it is most wrong."""
