"""EnsembleEvaluator: TFX's Evaluator for an ensemble, whose members have been asked about the same images already."""
