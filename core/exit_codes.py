"""Exit codes of every `cxr` command, for scripts."""

OK = 0
FAILED = 1  # something broke: a component, a file's content, a server
USAGE = 2  # wrong arguments or configuration, a path that is not there (typer's own code as well)
REFUSED = 3  # everything ran, and a gate refused a model, a demand of `cxr evaluate` failed, or `cxr validate` or `audit` found something
INTERRUPTED = 130  # Ctrl-C; the next run goes on where this one stopped
UNREAD = 141  # in place of 0: whoever read the output has gone (`cxr runs | head -1`); 128 + 13 (SIGPIPE), as of other programs
TERMINATED = 143  # SIGTERM, the same of it; servers, for which that is the usual end, drain and exit with 0
HUNG_UP = 129  # SIGHUP, of a terminal that was closed: the same


def of_signal(number: int) -> int:
    """Returns the exit code of a command that a signal ended, as shells count."""
    return 128 + number
