"""The page to try a model: X-rays in a browser, answers of any TensorFlow Serving.

`server` opens the port, `app` answers requests, `guard` decides who may ask, `served` asks the models, `problems` says what went wrong,
`static/` is what the browser gets. Imports no TensorFlow; keeps nothing.
"""
