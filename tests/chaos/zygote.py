"""A fork server: it has imported everything, and forks children that do a run and may be killed in it.

It reads orders from standard input, one JSON object per line, and answers each with two lines: the child's
process number and its exit status as ``os.waitstatus_to_exitcode`` returns it. An order has ``arguments``
of ``python -m lvae_core`` and ``log``, the file for the child's output, and may have

    kill_at    send SIGKILL just before the n-th file operation, counted from 1
    file_size  send SIGXFSZ when a file grows beyond this many bytes
    count      a file to which the child writes its number of file operations
"""

import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import torch

# The imports of a run, made once for all children.
import lvae_core.data.corpus
import lvae_core.training.failures
import lvae_core.training.trainer  # noqa: F401
from lvae_core.__main__ import main
from lvae_core.training.provenance import describe_attempt

OPERATIONS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.chmod",
    "os.link",
    "os.listdir",
    "os.scandir",
}


def child(order: dict) -> int:
    """Do a run in this process; it may be killed on the way."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "file_size" in order:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
    folder, operations = order["arguments"][order["arguments"].index("--out") + 1], 0

    def on_event(event: str, arguments: tuple) -> None:
        nonlocal operations
        if event not in OPERATIONS or not any(str(a).startswith(folder) for a in arguments[:2]):
            return
        if threading.current_thread() is not threading.main_thread():
            return  # a claim's heartbeat depends on the clock, so its operations are not counted
        operations += 1
        if operations == order.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    status = main(order["arguments"])
    if "count" in order:
        Path(order["count"]).write_text(str(operations))
    return status


def serve() -> None:
    """Answer orders until standard input ends."""
    torch.set_num_threads(1)
    # Fill the cache of git's answer before any fork.
    describe_attempt(from_step=0, device="cpu", threads=1, precision="float32", data_sha256="")
    assert threading.active_count() == 1, "a fork copies only one thread"
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(child(json.loads(line)))
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(99)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
