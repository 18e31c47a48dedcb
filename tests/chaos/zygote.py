"""A process that has paid for its imports, and forks children that do a run and may be killed in it.

Reads orders from standard input, one JSON object a line, and answers each with two lines: the child's
process number, and how it ended (as ``os.waitstatus_to_exitcode`` has it). An order has ``arguments`` of
``python -m lvae_core`` and ``log``, the file that takes what it prints, and may have

    kill_at    SIGKILL just before the n-th operation on files, counted from 1
    file_size  SIGXFSZ in the middle of writing any file beyond so many bytes
    count      a file that is to hold the number of operations on files
"""

import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import torch

# What a run would import when it begins.
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
    """Do a run in this process, or part of one."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "file_size" in order:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
    place, seen = order["arguments"][order["arguments"].index("--out") + 1], 0

    def on_event(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event not in OPERATIONS or not any(str(a).startswith(place) for a in arguments[:2]):
            return
        if threading.current_thread() is not threading.main_thread():
            return  # the heart of a claim beats by the clock
        seen += 1
        if seen == order.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(on_event)
    status = main(order["arguments"])
    if "count" in order:
        Path(order["count"]).write_text(str(seen))
    return status


def serve() -> None:
    """Answer orders until there are no more."""
    torch.set_num_threads(1)
    # Asks git, once.
    describe_attempt(from_step=0, device="cpu", threads=1, precision="float32", data_sha256="")
    assert threading.active_count() == 1, "a fork takes one thread along"
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
