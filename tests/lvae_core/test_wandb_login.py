"""The part of W&B that mirrors and reports share; tests/wandb_mirror logs in to a server."""

from __future__ import annotations

import os

import pytest

from lvae_core.wandb_login import prepare_environment


def test_variables_that_are_meant_for_single_runs_are_ignored_even_if_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"WANDB_MODE": "", "WANDB_NAME": "mine", "WANDB_DIR": "there"})
    prepare_environment()
    assert set(os.environ) == {"WANDB_DIR", "WANDB_ERROR_REPORTING", "WANDB_SILENT"}
