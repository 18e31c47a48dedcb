"""Do the work on a run folder for a command or a call: its claim, Ctrl-C, and errors as one line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

from lvae_core.command import Interrupt
from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.errors import NOT_WRITABLE, InputError, describe
from lvae_core.identity import fingerprint, is_same_training
from lvae_core.messages import notice
from lvae_core.run_folder.claims import Claim, ClaimLostError, HeldError, acquire_patiently
from lvae_core.run_folder.folder import FAILURE, DamagedError, RunFolder
from lvae_core.system_names import check_named_rightly
from lvae_core.training.failures import failure_of
from lvae_core.training.initial_encoder import read_parent
from lvae_core.training.modes import in_own_modes
from lvae_core.training.runtime import Progress, Runtime
from lvae_core.training.trainer import execute


def check_new(config: RunConfig, folder: RunFolder) -> None:
    """Raise InputError if a run that has not begun cannot begin.

    It may be another system than it is called, or have the folder of a study or of a dataset in place of
    its own.
    """
    if folder.has("config.json"):
        return  # a run that has begun keeps its name
    check_named_rightly(config)
    if folder.holds_runs():
        raise InputError(
            f"{folder}: a study, with run folders in it; give {folder}/my-run or another new folder"
        )
    if folder.has("train.txt"):
        raise InputError(f"{folder}: a dataset, with train.txt in it; give a new folder for the run")


def check_parent_of_new(config: RunConfig, corpus: Corpus, folder: RunFolder) -> None:
    """Check that a new run can start from its parent; one with a checkpoint or a result needs it no more.

    Otherwise the run would be refused only after its folder is made.

    Raises:
        InputError: as :func:`read_parent`.
    """
    if not (folder.has_checkpoint() or folder.has("result.json")):
        read_parent(config, corpus, folder)


def claim_patiently(folder: RunFolder, runtime: Runtime) -> Claim:
    """Claim a run for this process; if it is held, wait to see whether its holder is alive.

    Raises:
        HeldError: it is.
    """
    return acquire_patiently(folder, runtime.launch, notice)


def train_patiently(
    config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime
) -> Generator[Progress, None, None]:
    """Execute a run as :func:`execute` does, with a claim of :func:`claim_patiently`.

    A finished run needs no claim if its folder cannot be written, as that of another user.
    """
    try:
        claim = claim_patiently(folder, runtime)
    except OSError as error:
        result = folder.read_json("result.json") if error.errno in NOT_WRITABLE else None
        if result is None or not _is_result_of(config, corpus, folder, result):
            raise
        yield Progress(phase="done", epoch=result["epochs"], step=result["steps"], fraction=1.0)
    else:
        yield from execute(config, corpus, folder, runtime, claim)


def _is_result_of(config: RunConfig, corpus: Corpus, folder: RunFolder, result: dict[str, Any]) -> bool:
    wanted, present = fingerprint(config, corpus.data_sha256), folder.read_identity()
    return (
        present is not None
        and present[1] == result.get("fingerprint")
        and is_same_training(present[1], present[0], wanted, corpus.data_sha256)
    )


def carry_out(
    folder: RunFolder,
    start: Callable[[], Generator[Progress, None, None]],
    progress: Callable[[Progress], object],
    failure: str = FAILURE,
) -> bool:
    """Do the work on a run folder that ``start`` begins; Ctrl-C saves it and stops.

    An error of ``progress`` saves it, too, and is raised. An error of the run itself is recorded in the
    file ``failure`` of the folder and raised. The work has torch's modes of a run, and ``progress`` has
    those of the caller; see :mod:`lvae_core.training.modes`.

    Returns:
        False if it was stopped.

    Raises:
        InputError: another process holds the run, or the storage fails.
    """
    # Only the main thread of a process can catch Ctrl-C.
    main = threading.current_thread() is threading.main_thread()
    with (
        Interrupt() if main else contextlib.nullcontext() as interrupt,
        # Closed in every case, because a traceback would keep the run, and with it the claim.
        contextlib.closing(_recorded(folder, start, failure)) as work,
    ):
        for report in work:
            progress(report)
            if interrupt and interrupt.requested and report.phase != "done":
                return False
    return True


def _recorded(
    folder: RunFolder, start: Callable[[], Generator[Progress, None, None]], failure: str
) -> Generator[Progress, None, None]:
    """Iterate over ``start()``; record an error of the run, and translate one of its surroundings."""
    try:
        yield from in_own_modes(start)
    except (InputError, DamagedError):
        raise
    except HeldError as error:
        raise InputError(f"{error}; wait until it ends, or give another run folder") from None
    except ClaimLostError as error:
        raise InputError(f"{error}; do the same again to resume it") from None
    except OSError as error:
        raise InputError(describe(error, str(folder), _next_step(folder))) from None
    except Exception as error:
        with contextlib.suppress(OSError):  # the error says more than that it could not be recorded
            folder.write_failure(*failure_of(error), file=failure)
        raise


def _next_step(folder: RunFolder) -> str:
    """Say what to do once the storage works again."""
    try:
        may_resume = folder.has_checkpoint()
    except OSError:
        may_resume = True
    return "do the same again to resume it" if may_resume else "do the same again"
