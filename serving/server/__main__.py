"""`python -m cxr.serving.server < OPTIONS_AS_JSON`: the entry that `process` starts; people use `cxr serve`."""

from cxr.serving.server.main import main

main()
