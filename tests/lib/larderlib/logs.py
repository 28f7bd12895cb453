"""A server's log is part of its behaviour: an ERROR line that no test expects is a failure."""

import re

ANSI = re.compile(r"\x1b\[[0-9;]*m")
BAD = re.compile(r"(^|[\s\"])ERROR([\s\"]|$)|panicked at|overflowed its stack|SIGABRT")


def unexpected_errors(log_path, allowed=()):
    """Lines of the log that say ERROR (or panic) and match none of the `allowed` patterns."""
    patterns = [re.compile(pattern) for pattern in allowed]
    found = []
    with open(log_path, encoding="utf-8", errors="replace") as log:
        for line in log:
            line = ANSI.sub("", line.rstrip("\n"))
            if BAD.search(line) and not any(p.search(line) for p in patterns):
                found.append(line)
    return found
