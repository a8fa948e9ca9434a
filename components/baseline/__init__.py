"""The champion of a model, and the pushed version that a candidate is compared with. The same on one machine and on Kubeflow."""
