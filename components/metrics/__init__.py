"""What the Evaluator computes beyond TFMA's own metrics."""
