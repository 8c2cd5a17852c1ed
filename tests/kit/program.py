# SPDX-License-Identifier: Apache-2.0
"""Runs s3-ktls the way a user does, and looks at all that it says.

Every run's output is searched for secrets, whatever the test is about.
"""
import json
import os
import signal
import subprocess
import time

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Result:
    """How a run ended. Output is text; bytes that are not UTF-8 are kept as surrogates."""

    def __init__(self, argv, returncode, stdout, stderr, elapsed_s):
        self.argv, self.returncode = argv, returncode
        self.stdout, self.stderr, self.elapsed_s = stdout, stderr, elapsed_s

    def __repr__(self):
        return (f"{' '.join(map(os.fsdecode, self.argv))}\nexit {self.returncode} after "
                f"{self.elapsed_s:.2f} s\nstdout: {self.stdout}\nstderr: {self.stderr}")

    @property
    def json(self):
        """The one object on the one line of stdout."""
        lines = self.stdout.splitlines()
        assert len(lines) == 1, self
        return json.loads(lines[0])

    def expect(self, returncode, *parts):
        """Asserts the exit code, and that stderr is an error line that holds all the parts."""
        assert self.returncode == returncode, self
        if returncode:
            errors = [line for line in self.stderr.splitlines()
                      if line.startswith("s3-ktls: error: ")]
            assert errors, self
        for part in parts:
            assert part in self.stderr, f"no {part!r} in\n{self}"
        return self


def assert_no_secrets(result, secrets):
    for secret in secrets:
        assert secret not in result.stdout and secret not in result.stderr, \
            f"a secret is in the output of {result.argv[0]}, exit {result.returncode}"
    # Of an Authorization header; a store may name "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" itself.
    for word in ("Signature=", "AWS4-HMAC-SHA256 Credential"):
        assert word not in result.stdout + result.stderr, result


def server_environment(server, scheme="https", guest=False):
    """What a user of that server exports. guest: as seen from a virtual machine."""
    urls = {("http", False): server.http_url, ("https", False): server.https_url,
            ("http", True): server.vm_http_url, ("https", True): server.vm_https_url}
    return {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_REGION": server.region, "AWS_CA_BUNDLE": server.ca,
            "AWS_ENDPOINT_URL": urls[scheme, guest]}


class Running:
    """A run that goes on."""

    def __init__(self, program, process, argv, secrets, began):
        self.program, self.process, self.argv, self.secrets = program, process, argv, secrets
        self.began = began

    @property
    def pid(self):
        return self.process.pid

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # The whole group: a wrapper may stand in front of the program.
            os.killpg(self.process.pid, signal.SIGKILL)
            stdout, stderr = self.process.communicate()
            raise AssertionError(f"still running after {timeout} s: {self.argv}\n"
                                 f"stdout: {stdout}\nstderr: {stderr}") from None
        result = Result(self.argv, self.process.returncode,
                        (stdout or b"").decode("utf-8", "surrogateescape"),
                        (stderr or b"").decode("utf-8", "surrogateescape"),
                        time.monotonic() - self.began)
        assert_no_secrets(result, self.secrets)
        return result


class Program:
    """The built program on this machine. home: an empty folder that is its HOME."""

    def __init__(self, path, home):
        self.path, self.home = os.fspath(path), home

    def environment(self, server=None, scheme="https", **more):
        """A small one: nothing of the caller's own AWS settings. A value of None removes it."""
        env = {"PATH": PATH, "HOME": os.fspath(self.home), "LANG": "C.UTF-8"}
        if server is not None:
            env.update(server_environment(server, scheme))
        env.update(more)
        return {name: value for name, value in env.items() if value is not None}

    def popen(self, args, env=None, prefix=(), hosts=None, **options):
        """Starts it. prefix: a command in front; hosts: {name: [address, ...]}, what its own
        /etc/hosts says, in a mount namespace of its own; options: subprocess.Popen's."""
        argv = [*prefix, self.path, *args]
        if hosts is not None:
            argv = [*own_hosts(hosts), *argv]
        env = self.environment() if env is None else env
        secrets = {env[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
                   if len(env.get(name, "")) >= 8} | set(options.pop("secrets", ()))
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, "start_new_session": True, **options}
        # Before: on a busy machine this process may go on long after the program began.
        began = time.monotonic()
        return Running(self, subprocess.Popen(argv, env=env, **options), argv, secrets, began)

    def run(self, args, env=None, timeout=60, **options):
        return self.popen(args, env, **options).wait(timeout)

    def put(self, server, file, bucket, key, *more, scheme="https", env=None, **options):
        """put --json of that file into that server's bucket."""
        return self.run(["put", file, f"s3://{bucket}/{key}", "--json", *more],
                        self.environment(server, scheme, **(env or {})), **options)


def own_hosts(hosts):
    """A command in front: what follows it has these names in /etc/hosts, and no other."""
    lines = "".join(f"{address} {name}\n" for name, addresses in hosts.items()
                    for address in addresses)
    script = ('file=$(mktemp) && printf %s "$0" >"$file" && chmod 644 "$file" && '
              'mount --bind "$file" /etc/hosts && rm "$file" && exec "$@"')
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, lines]
