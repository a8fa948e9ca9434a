"""Cross-validation of a configuration: folds by patient, by image and by source, on features that are computed once. No TFX."""
