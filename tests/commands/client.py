"""Ask the server for a fork with this process's arguments, files and environment; end like it."""

import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is a process to forward them to
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    order = json.dumps(
        {"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
    ).encode()
    socket.send_fds(connection, [len(order).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(order)
    answers = connection.makefile()
    child = int(answers.readline())
    for number in FORWARDED:
        signal.signal(number, lambda received, _: os.kill(child, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    status = int(answers.readline())
    if status < 0:
        if -status in FORWARDED:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


main()
