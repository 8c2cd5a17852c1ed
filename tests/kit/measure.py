# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a run: program.run(..., prefix=PREFIX), then peak_kib(result)."""

# ru_maxrss starts from what the process had before execve(2), so the measured program needs a
# parent that is small: an isolated interpreter has about 5 MiB.
_MEASURE = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""

PREFIX = ["/usr/bin/python3", "-I", "-S", "-c", _MEASURE]

# What an upload may need, whatever the size of the file and whatever the peer says.
LIMIT_KIB = 12 * 1024


def peak_kib(result):
    return int(result.stderr.splitlines()[-1])
