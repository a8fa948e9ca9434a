"""How the process of a task on Kubeflow Pipelines ends, whatever it runs: with an exit status, and a last word in its log."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from cxr.core import exit_codes
from cxr.core.errors import CxrError
from cxr.core.machine_faults import explained
from cxr.core.termination import cause, raise_on_termination


def status_of(task: str, work: Callable[[], None]) -> int:
    """Does the work of a task, and tells what became of it; main thread only.

    Args:
      task: For the log.
      work: What the task does.

    Returns:
      The container's exit status. A user's mistake and a fault of the machine (a disk that is full, no memory) are one line each; what
      nobody expected is printed with the way that led there.
    """
    raise_on_termination()  # a pod is deleted, its node drained: what this task made so far is dropped, and its scratch folder with it
    try:
        work()
    except CxrError as error:
        print(f"{task}: {error}", file=sys.stderr)
        return exit_codes.FAILED
    except BaseException as error:
        if number := cause(error):
            print(f"{task}: ended by {number.name}; the task can be tried again", file=sys.stderr)
            return exit_codes.of_signal(number)
        told = explained(error) if isinstance(error, Exception) else None
        if told is None:
            traceback.print_exc()
        else:
            print(f"{task}: {told}", file=sys.stderr)
        return exit_codes.FAILED
    return exit_codes.OK
