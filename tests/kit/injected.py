# SPDX-License-Identifier: Apache-2.0
"""Uploads of which one system call fails, and what each of them must come to."""
import hashlib
import json
import os
import re

from kit.sites import RETRIED, Trace

CLASSES = {1: "usage", 2: "file", 3: "environment", 4: "network", 5: "store", 6: "integrity"}
DEADLINE_S = 40
OPTIONS = ["--json", "--timeout", "4", "--connect-timeout", "4"]


def strace(trace, call=None, action=None, path=None):
    """The command in front. In the main thread's case only its calls are seen and failed."""
    follow = call is None or call.site[0] != "main" or path
    return ["strace", *(["-f"] if follow else []), "-qq", "-y", "-s", "0",
            *(["-e", f"inject={call.site[1]}:{action}:when={call.number}"] if call else []),
            *(["-P", path] if path else []), "-o", trace]


def was_hit(trace, call):
    return any(hit.site[1] == call.site[1] for hit in trace.injected)


def is_silenced(trace):
    """Was it a call by which the user is told, on stdout or stderr, that failed?"""
    return any(hit.site[:2] == ("main", "write") and "pipe" in hit.site[2]
               for hit in trace.injected)


def may_exist(said):
    return "an object may exist" in said or "an object probably exists" in said or \
        "the upload is done" in said


def faults(result, trace, call, action, payload, stored):
    """What is wrong with how it ended, in words; [] if nothing is. stored: the object's bytes as
    another client finds them, None if there is no object."""
    found, silenced = [], is_silenced(trace)
    if not was_hit(trace, call):
        return ["it was not hit"]
    if result.returncode == 0:
        try:
            said = json.loads(result.stdout) if result.stdout else None
        except ValueError:
            return ["exit 0 and no JSON"]
        if said is None and not silenced:
            return ["exit 0 and no result"]
        if said and (said["sha256"], said["bytes"]) != (payload.sha256, payload.size):
            found.append("exit 0 and a wrong result")
        if stored is None or hashlib.sha256(stored).hexdigest() != payload.sha256:
            found.append("exit 0 and another object, or none")
        return found + leaks(trace, call)
    if result.returncode not in CLASSES:
        found.append("the exit code is none of the table")
    message = re.search(r"^s3-ktls: error: .{10,}", result.stderr, re.M)
    if not message and not silenced:
        found.append("no message")
    if stored is not None and not may_exist(result.stderr + result.stdout) \
            and not silenced:
        found.append("an object, and the message does not say that there may be one")
    if message and not silenced:
        error = json.loads(result.stdout)["error"]
        if (error["class"], error["exit_code"]) != (CLASSES.get(result.returncode),
                                                   result.returncode):
            found.append("the JSON says something else than the exit code")
    if action == "error=EINTR" and call.site[1] in RETRIED:
        found.append("a call that was merely interrupted is not tried again")
    return found + leaks(trace, call)


def leaks(trace, call):
    """The signalfd lasts as long as the program, the eventfd and what a thread that was given up
    opens as long as that thread; a close that was not done leaves one open."""
    if not trace.ended or call.site[1] == "close":
        return []
    left = [f"{number} ({what})" for number, what in trace.left_open.items()
            if not what.startswith(("signalfd4", "eventfd2")) and not what.endswith("of resolver")]
    return [f"descriptors left open: {', '.join(left)}"] if left else []


def read_trace(path, whole=True):
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    os.unlink(path)
    return Trace(text, whole)
