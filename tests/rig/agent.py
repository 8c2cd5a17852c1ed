# SPDX-License-Identifier: Apache-2.0
"""Runs jobs in the guest of rig.vm. Standard library only; started by tools/guest-init.

The host speaks JSON lines over a virtio serial port:
  host  -> {"op": "mount", "path": P}             the work share appears at P, as on the host
  host  -> {"op": "start", "id": N, "argv": [...], "env": {...}, "cwd": P, "uid": U or null,
            "timeout": seconds or null}
  host  -> {"op": "signal", "id": N, "signal": number}
  guest -> {"event": "ready", "release": ...}     once
  guest -> {"event": "mounted"} | {"event": "exit", "id": N, "returncode": R, "timed_out": bool}
           | {"event": "error", "id": N, "message": ...}
A job's output goes to .rig/job-N.out and .rig/job-N.err of the share. When the host closes the
port, the agent ends, and with it the guest.
"""
import glob
import json
import os
import signal
import subprocess
import threading

SHARE = "/run/rig"


def open_port():
    """The port named rig.agent. Without udev there is no /dev/virtio-ports."""
    for name_file in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(name_file, encoding="ascii") as file:
            if file.read().strip() == "rig.agent":
                device = os.path.basename(os.path.dirname(name_file))
                return open(f"/dev/{device}", "r+b", buffering=0)
    raise SystemExit("agent: the virtio port rig.agent is missing")


class Agent:
    def __init__(self, port):
        self.port = port
        self.write_lock = threading.Lock()
        self.processes = {}

    def send(self, **message):
        data = json.dumps(message).encode() + b"\n"
        with self.write_lock:
            while data:
                data = data[self.port.write(data):]

    def mount(self, request):
        os.makedirs(request["path"], exist_ok=True)
        subprocess.run(["mount", "--bind", SHARE, request["path"]], check=True)
        self.send(event="mounted")

    def start(self, request):
        job = request["id"]
        base = f"{SHARE}/.rig/job-{job}"
        credentials = {}
        if request["uid"] is not None:
            credentials = {"user": request["uid"], "group": request["uid"], "extra_groups": []}
        try:
            with open(base + ".out", "wb") as out, open(base + ".err", "wb") as err:
                process = subprocess.Popen(
                    request["argv"], env=request["env"], cwd=request["cwd"], stdout=out,
                    stderr=err, stdin=subprocess.DEVNULL, start_new_session=True, **credentials)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.send(event="error", id=job, message=str(error))
            return
        self.processes[job] = process
        threading.Thread(target=self.wait, args=(job, process, request["timeout"]),
                         daemon=True).start()

    def wait(self, job, process, timeout):
        timed_out = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            kill_group(process, signal.SIGKILL)
            process.wait()
        self.send(event="exit", id=job, returncode=process.returncode, timed_out=timed_out)

    def signal(self, request):
        process = self.processes.get(request["id"])
        if process is not None and process.poll() is None:
            kill_group(process, request["signal"])

    def serve(self):
        self.send(event="ready", release=os.uname().release)
        operations = {"mount": self.mount, "start": self.start, "signal": self.signal}
        pending = b""
        while True:
            data = self.port.read(65536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                request = json.loads(line)
                operations[request["op"]](request)


def kill_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    Agent(open_port()).serve()
