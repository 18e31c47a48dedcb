"""A launch's end of its mirror: it starts a process, tells it which runs are under way, and forgets it.

Nothing here waits for W&B while runs go on. What the mirror is told it could find out by itself, so nothing
is lost with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal

from lvae_core.errors import InputError
from lvae_core.run_folder.folder import Study
from sweeps.launching.board import Board
from sweeps.options import Mode
from sweeps.planning.plan import Plan

TELL_SECONDS = 5.0

_START_SECONDS, _PATIENCE_SECONDS, _GRACE_SECONDS = 60.0, 2.0, 30.0

_KEY = "WANDB_API_KEY"


@contextlib.contextmanager
def mirrored(
    mode: Mode, study: str, project: str, entity: str | None, say: Callable[[str], None]
) -> Iterator[Callable[[Plan, Board], None]]:
    """Have a launch mirrored to W&B inside the ``with`` block.

    Args:
        mode: disabled: nothing happens at all.
        study: the study, as the user writes it.
        project: of W&B.
        entity: of W&B; None: the key's own.
        say: gets lines for the user, when the block is left.

    Yields:
        A function to be called once, with the plan and the board of the launch, before it starts anything.
        It raises InputError where W&B cannot be used: it does not work here, or there is no key.

    Raises:
        InputError: W&B is not installed.
    """
    if mode == "disabled":
        yield lambda plan, board: None
        return
    require_wandb(f"--wandb {mode}")
    place = os.environ.get("WANDB_DIR") or "."
    job = Job(study=study, mode=mode, project=project, entity=entity, folder=place)
    mirror = _Mirror(job)
    try:
        with _without_key():
            yield mirror.watch
        if mirror.watching:
            for line in _closing(mirror.end(say), job):
                say(line)
    finally:
        mirror.kill()


def require_wandb(what: str) -> None:
    """Raise InputError where the library is not installed; ``what`` asks for it."""
    if importlib.util.find_spec("wandb") is None:
        raise InputError(f"{what}: wandb is not installed; pip install 'lvae[wandb]'")


class _Mirror:
    """The process and the thread that tells it things."""

    def __init__(self, job: Job) -> None:
        # A session of its own: Ctrl-C is for the launch, which still has things to tell.
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "sweeps.wandb_mirror.live"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._job = job
        self._over = threading.Event()
        self._teller: threading.Thread | None = None
        self._news: Iterator[Mapping[str, Any]] = iter(())
        # It imports the library meanwhile, which takes a second.
        with contextlib.suppress(OSError):
            self._write(asdict(job))

    @property
    def watching(self) -> bool:
        """Whether :meth:`watch` has been called."""
        return self._teller is not None

    def watch(self, plan: Plan, board: Board) -> None:
        """Tell the process from now on what becomes of the runs; see :func:`mirrored`."""
        answer = self._answer(_START_SECONDS) or {}
        if "ready" not in answer:
            trouble = f"--wandb {self._job.mode}: wandb does not start here; use --wandb disabled"
            raise InputError(answer.get("error", trouble))
        self._news = _news(plan, board)
        self._teller = threading.Thread(target=self._tell, daemon=True, name="W&B mirror")
        self._teller.start()

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # where the process is gone its end is told at the end
            while not self._over.is_set():
                self._write(next(self._news))
                self._over.wait(TELL_SECONDS)

    def end(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Let it send what is left; what it says of it, or {} where it has nothing to say in time."""
        self._over.set()
        if self._teller is not None:
            self._teller.join(_PATIENCE_SECONDS)
        try:
            self._write({**next(self._news), "end": True})
        except OSError:
            return {}
        answer = self._answer(_PATIENCE_SECONDS)
        if answer is None:
            say(f"W&B: sending what is left, {FLUSH_SECONDS:.0f} seconds at most")
            answer = self._answer(FLUSH_SECONDS + _GRACE_SECONDS)
        return answer or {}

    def kill(self) -> None:
        """End it, wherever it is: its runs are in their folders."""
        self._over.set()
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _some(stream).close()

    def _write(self, value: Mapping[str, Any]) -> None:
        stream = _some(self._process.stdin)
        stream.write(json.dumps(value) + "\n")
        stream.flush()

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """The next line; None where none comes in time, {} where the process is gone."""
        if not hasattr(self, "_line"):
            self._line: list[str] = []
            self._reader = threading.Thread(target=self._read, args=(self._line,), daemon=True)
            self._reader.start()
        self._reader.join(seconds)
        if self._reader.is_alive():
            return None
        line = self._line[0]
        del self._line
        return json.loads(line) if line else {}

    def _read(self, line: list[str]) -> None:
        line.append(_some(self._process.stdout).readline())


def _some(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _news(plan: Plan, board: Board) -> Iterator[Mapping[str, Any]]:
    """Which runs are under way and which have ended since; read while the launch writes the board.

    Runs that were begun before this launch have ended, too: W&B may lack them. The plan may grow.
    """
    begun: set[str] = set()
    told: set[str] = set()
    while True:
        runs = list(plan.runs)
        names = [run.name for run in runs]
        begun |= {run.name for run in runs if run.begun}
        # Each of these copies is one step of the interpreter: nothing changes in the midst of it.
        elsewhere, waiting, running = set(board.held), set(board.waiting), set(board.running)
        begun |= running
        told -= running
        busy = told | running | elsewhere
        over = [name for name in names if name not in busy and (name in begun or name not in waiting)]
        told.update(over)
        yield {"running": sorted(running), "over": over}


@contextlib.contextmanager
def _without_key() -> Iterator[None]:
    """Keep the user's key from the processes of Ray, which have no use for it."""
    key = os.environ.pop(_KEY, None)
    try:
        yield
    finally:
        if key is not None:
            os.environ[_KEY] = key


def _closing(tally: Mapping[str, Any], job: Job) -> Iterable[str]:
    """What has become of the runs, and the next command."""
    sent, left = tally.get("sent", 0), tally.get("left", 1)
    trouble = tally.get("trouble") or ("" if "left" in tally else "the mirror did not answer")
    if sent and job.mode == "online":
        yield f"W&B has {sent} runs: {tally['url'] or job.project}"
    if sent and job.mode == "offline":
        yield f"W&B: {sent} runs written; next: wandb sync {shlex.quote(os.path.join(job.folder, 'wandb'))}"
    if tally.get("disagreeing"):
        yield (
            f"W&B: {tally['disagreeing']} runs were trained anew from a checkpoint with other numbers than "
            "it had been sent; it keeps the former rows"
        )
    if left:
        whose = f" --entity {shlex.quote(job.entity)}" if job.entity else ""
        where = f"{shlex.quote(job.study)} --project {shlex.quote(job.project)}{whose}"
        yield (
            f"W&B lacks some runs ({trouble}); nothing is lost, next: python sweeps/wandb_push.py {where}"
        )


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
