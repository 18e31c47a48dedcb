"""Do the work on a run folder for a command or a call: its claim, Ctrl-C, and errors as one line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator

from lvae_core.command import Interrupt
from lvae_core.errors import InputError
from lvae_core.messages import notice
from lvae_core.run_folder.claims import Claim, ClaimLostError, HeldError, acquire_patiently
from lvae_core.run_folder.folder import FAILURE, DamagedError, RunFolder
from lvae_core.training.failures import failure_of
from lvae_core.training.runtime import Progress, Runtime


def acquire(folder: RunFolder, runtime: Runtime) -> Claim:
    """Claim a run for this process; if it is held, wait to see whether its holder is alive.

    Raises:
        HeldError: it is.
    """
    return acquire_patiently(folder, runtime.launch, notice)


def carry_out(
    folder: RunFolder,
    start: Callable[[], Generator[Progress, None, None]],
    progress: Callable[[Progress], object],
    failure: str = FAILURE,
) -> bool:
    """Do the work on a run folder that ``start`` begins; Ctrl-C saves it and stops.

    An error of the run itself is recorded in the file ``failure`` of the folder and raised.

    Returns:
        False if it was stopped.

    Raises:
        InputError: another process holds the run, or the storage fails.
    """
    # Only the main thread of a process can catch Ctrl-C.
    main = threading.current_thread() is threading.main_thread()
    try:
        with Interrupt() if main else contextlib.nullcontext() as interrupt:
            work = start()
            for report in work:
                progress(report)
                if interrupt and interrupt.requested and report.phase != "done":
                    work.close()
                    return False
    except (InputError, DamagedError):
        raise
    except HeldError as error:
        raise InputError(f"{error}; wait until it ends, or give another run folder") from None
    except (OSError, ClaimLostError) as error:
        raise InputError(f"{folder}: {error}; do the same again to resume it") from None
    except Exception as error:
        folder.write_failure(*failure_of(error), file=failure)
        raise
    return True
