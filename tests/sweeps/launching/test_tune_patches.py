"""The changes to Tune: the order of names, and trials that are forgotten."""

from unittest.mock import Mock

from ray.train._internal.storage import StorageContext
from ray.tune import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experiment import trial as trial_module

from sweeps.launching.tune_patches import Names, few_records, shared_folder, trainable_looked_up_once


def test_names_are_given_in_their_order_and_once():
    names = Names(["b", "a"])
    assert [names.suggest(str(trial)) for trial in range(4)] == [{"run": "b"}, {"run": "a"}, None, None]


def test_a_trial_that_has_ended_is_forgotten_and_one_that_failed_is_not(monkeypatch):
    def stop(self, trial):
        trial.status = Trial.ERROR if trial.trial_id == "failed" else Trial.TERMINATED
        if trial.status == Trial.TERMINATED:
            self._stopped_trials.append(trial)

    monkeypatch.setattr(TuneController, "stop_trial", stop)
    with few_records():
        controller = object.__new__(tune.TuneController)
    assert tune.TuneController is TuneController
    trials = [Mock(trial_id=name, status=Trial.RUNNING) for name in ("ended", "failed", "runs")]
    controller._trials, controller._stopped_trials = list(trials), []
    controller._trials_to_cache = set()
    controller._trial_metadata = {trial.trial_id: "" for trial in trials}
    for trial in trials[:2]:
        controller.stop_trial(trial)
    assert controller._trials == trials[1:]
    assert controller._stopped_trials == []
    assert set(controller._trial_metadata) == {"failed", "runs"}


def test_the_numbers_that_a_trial_reports_are_not_kept(tmp_path):
    trial = Trial("x", stub=True)
    report = {"fraction": 0.5, "training_iteration": 1}
    with few_records():
        trial.update_last_result(dict(report))
    assert trial.metric_analysis == {}
    assert trial.last_result["fraction"] == 0.5
    trial.update_last_result(dict(report))
    assert trial.metric_analysis["fraction"]["max"] == 0.5


def test_the_trainable_is_looked_up_once_for_all_trials(monkeypatch, tmp_path):
    asked = []
    for name in ("get_trainable_cls", "validate_trainable"):
        monkeypatch.setattr(trial_module, name, lambda of, name=name: asked.append((name, of)) or dict)
    storage = StorageContext(storage_path=str(tmp_path), experiment_dir_name="sweep")
    with trainable_looked_up_once():
        trials = [Trial("mine", storage=storage) for _ in range(3)]
        assert [trial.get_trainable_cls() for trial in trials] == [dict] * 3
    assert sorted(asked) == [("get_trainable_cls", "mine"), ("validate_trainable", "mine")]
    trials[0].get_trainable_cls()
    assert len(asked) == 3


def test_all_trials_have_one_folder(tmp_path):
    storage = StorageContext(storage_path=str(tmp_path / "storage"), experiment_dir_name="sweep")
    storage._get_session_path = lambda: str(tmp_path / "session")  # of Ray, which does not run here
    for _ in range(3):
        trial = Trial("x", stub=True, storage=storage, trial_dirname_creator=shared_folder)
        trial.init_local_path()
    assert len([path for path in (tmp_path / "session").rglob("*") if path.name.startswith("trials")]) == 1
