"""Descriptors that tensorflow-serving-api lacks, compiled by compile.py: the two services, and the files of TensorFlow Serving's options.

The package itself imports nothing: server_files_pb2 is light, the services' modules import TensorFlow.
"""
