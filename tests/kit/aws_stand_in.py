# SPDX-License-Identifier: Apache-2.0
"""A stand-in for AWS's endpoint, in a network and mount namespace of its own.

    python3 -m kit.aws_stand_in TLS-FOLDER HOST -- COMMAND...   (PYTHONPATH: the folder tests)

Inside, HOST is 127.0.0.1 and port 443 is free, whatever runs on the machine. Runs the command,
serves it one PUT over TLS, and prints what was asked for and how the command ended, as JSON.
"""
import hashlib
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

from kit.scripted import take_put


def serve(listener, context, asked):
    context.sni_callback = lambda _socket, name, _context: asked.update(sni=name)
    with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
        first, headers, content = take_put(connection)
        asked.update(request=first, headers=headers, tls=connection.version(),
                     sha256=hashlib.sha256(content).hexdigest())


def main():
    tls_folder, host, dashes, *command = sys.argv[1:]
    assert dashes == "--"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w") as hosts:
        hosts.write(f"127.0.0.1 {host}\n")
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tls_folder}/cert.pem", f"{tls_folder}/key.pem")
    asked = {}
    with socket.create_server(("127.0.0.1", 443)) as listener:
        server = threading.Thread(target=serve, args=(listener, context, asked), daemon=True)
        server.start()
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, timeout=30)
        # The program may end before what it asked for is noted here.
        server.join(timeout=5)
    print(json.dumps({"asked": asked, "returncode": ended.returncode, "stdout": ended.stdout,
                      "stderr": ended.stderr}))


if __name__ == "__main__":
    main()
