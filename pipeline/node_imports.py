"""What nodes import, for the process that they are forked from (node_process.py): importing this module does it."""

import gc
import signal
from contextlib import suppress
from importlib import import_module

from cxr.core import imports
from cxr.core.termination import ending_with_parent

MODULES = (
    "cxr.pipeline.node_launch",
    "cxr.components.ensemble_trainer.component",
    "cxr.components.infra_check.component",
    "cxr.components.pusher.component",
    "cxr.trainer.run_fn",
    "keras.applications",
    "tfx.components.evaluator.executor",
    "tfx.components.transform.executor",
)

with imports.uncollected(), ending_with_parent():  # once all is imported, multiprocessing sees to that
    for _module in MODULES:
        with suppress(ImportError):  # the node that needs it says so
            import_module(_module)
gc.freeze()  # the collector would write into each object that it looks at, and a forked process have a copy of all of them
if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()):  # node_process.py held it back: what came meanwhile is dropped
    _handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # here and in nodes: a run that it ends interrupts them
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
    signal.signal(signal.SIGINT, _handler)  # which the forked processes have; this one's is multiprocessing's next
