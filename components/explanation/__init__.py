"""Explanation: which regions of some pictures a model's answers rest on, and whether known lesions lie there."""
