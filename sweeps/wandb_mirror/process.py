"""The mirror of a launch, in a process of its own: ``python -m sweeps.wandb_mirror.process``.

It reads lines of JSON on its standard input and answers on its standard output. The first is a
:class:`Job`; its answer is ``{"ready": true}`` or ``{"error": line}``. Later ones have ``running``,
``over`` or ``end``; upon ``end``, or the end of its input (the launch has died), it sends what is left for
some seconds, and its last answer is a :class:`~sweeps.wandb_mirror.mirror.Tally`.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lvae_core.errors import InputError
from lvae_core.run_folder.folder import Study

POLL_SECONDS = 5.0

FLUSH_SECONDS = 30.0
"""How long a launch that has ended is kept waiting for W&B, at most."""

LAST_TRIES = 3
"""Of them, where W&B does not answer."""

_NICE = 19


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to mirror, and where to."""

    study: str
    mode: Literal["offline", "online"]
    project: str
    entity: str | None
    folder: str


def main() -> None:
    """Read the job, follow it, say what has become of it."""
    os.nice(_NICE)  # runs have the machine first
    try:
        job = Job(**json.loads(sys.stdin.readline()))
        mirror = _mirror(job)
    except InputError as error:
        _say({"error": str(error)})
        return
    except Exception as error:  # whatever the library does, the launch is told in a line
        _say({"error": f"--wandb {job.mode}: wandb does not work here ({type(error).__name__}: {error})"})
        return
    _say({"ready": True})
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    try:
        _follow(mirror, messages)
        tally = asdict(mirror.tally())
    except Exception as error:
        tally = {**asdict(mirror.tally()), "trouble": f"{type(error).__name__}: {error}"}
    _say(tally)
    sys.stdout.flush()
    # Not through the library's own farewell, which would wait for a server that is away.
    os._exit(0)


def _mirror(job: Job) -> Any:
    from sweeps.wandb_mirror.client import Target, prepare_environment, require_key
    from sweeps.wandb_mirror.mirror import Mirror

    prepare_environment()
    if job.mode == "online":
        require_key("--wandb online")
    target = Target(project=job.project, entity=job.entity, mode=job.mode, folder=job.folder)
    return Mirror(Study(job.study), target)


def _follow(mirror: Any, messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    while True:
        message: dict[str, Any] = {}
        until = time.monotonic() + POLL_SECONDS
        while not message and (left := until - time.monotonic()) > 0:
            try:
                message = messages.get(timeout=left)
            except queue.Empty:
                break
        if "running" in message:
            mirror.follow(message["running"])
        mirror.close(message.get("over", ()))
        if message.get("end"):
            break
        mirror.step()
    deadline = time.monotonic() + FLUSH_SECONDS
    for _ in range(LAST_TRIES):
        mirror.close_all()
        while not mirror.step(deadline) and not mirror.waiting and time.monotonic() < deadline:
            time.sleep(0.2)
        if not mirror.waiting:
            break
        time.sleep(1.0)


def _listen(messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        messages.put(json.loads(line))
    messages.put({"end": True})


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
