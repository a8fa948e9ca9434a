"""A simulation of Kubeflow Pipelines 2.x on one machine: it runs a compiled YAML, container command by container command.

It follows the contract of KFP's driver and launcher (docs/kubeflow.md) strictly, so that what fails there fails here. It knows nothing
of TFX or of this project.
"""
