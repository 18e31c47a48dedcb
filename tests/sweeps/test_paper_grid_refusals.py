"""Bad input to the command of the grid is one line, status 2, and nothing is started."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sweeps.doctor import main as doctor
from sweeps.paper_grid import main
from sweeps.search import main as search

from .scripts import check_refused, run_script

TOY = ["--datasets", "toy", "--seeds", "1"]

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sedes", "3"], "unknown option --sedes: did you mean '--seeds'?"),
        (
            ["--max-concurrent", "x"],
            "--max-concurrent: 'x' is not a whole number; see paper_grid.py --help",
        ),
        (["--preset", "dmo"], "unknown --preset 'dmo': did you mean 'demo'?"),
    ],
)
def test_unknown_options_and_values_are_one_line_and_have_status_2(arguments, message, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("command", "arguments", "option"),
    [
        (main, ["--systems", "lstm-lm", "--systems", "lstm-vae"], "--systems"),
        (main, ["--num_samples=1", "--num-samples", "2"], "--num-samples"),
        (search, ["--rungs", "1", "--rungs", "2"], "--rungs"),
    ],
)
def test_a_list_that_is_given_twice_is_refused(command, arguments, option, capsys):
    assert command([*arguments, "--dry-run"]) == 2
    expected = f"error: {option}: given twice; write all its values after one {option}\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    ("command", "options"),
    [(main, [*TOY, "--storage", "new"]), (search, ["--preset", "demo", "--storage", "new"]), (doctor, [])],
)
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("none", "none: not a folder that can be written; set RAY_TMPDIR to a folder with a short path"),
        ("file", "file: not a folder that can be written"),
        ("l" * 60, "l: too long for the paths of sockets; set RAY_TMPDIR"),
    ],
)
def test_a_folder_that_ray_cannot_use_is_one_line_before_anything_is_written(
    command, options, folder, message, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("")
    (tmp_path / ("l" * 60)).mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / folder))
    monkeypatch.chdir(tmp_path)
    assert command(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: RAY_TMPDIR {tmp_path}")
    assert message in line
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--datasets", "tyo"], "did you mean 'toy'"),
        (["--datasets", "no/such/folder"], "no such folder"),
        (["--datasets", "tyo", "--systems", "lstm-lm", "--set", "latent_size=4"], "did you mean 'toy'"),
        (["--datasets"], "--datasets: give at least one"),
        ([*TOY, "--systems", "lstm-va"], "did you mean 'lstm-vae'"),
        ([*TOY, "--settings", "standart"], "did you mean 'standard'"),
        ([*TOY, "--num-samples", "0"], "num_samples = 0: must be at least 1"),
        (
            [*TOY, "--systems", "lstm-lm", "--num-samples", "5"],
            "--num-samples 5: lstm-lm has no latent variable; leave it out",
        ),
        (
            [*TOY, "--systems", "lstm-lm", "cnn-lm", "--num-samples", "1", "5"],
            "--num-samples 1 5: lstm-lm and cnn-lm have no latent variable; leave it out",
        ),
        ([*TOY, "--systems", "lstm-va", "--num-samples", "5"], "did you mean 'lstm-vae'"),
        ([*TOY, "--systems", "lstm-lm", "lstm-va", "--num-samples", "5"], "did you mean 'lstm-vae'"),
        (["--datasets", "toy", "--seeds", "0"], "--seeds 0: must be at least 1"),
        (["--datasets", "toy", "--seeds", "three"], "--seeds three: not a list of seeds; give a number"),
        (["--datasets", "toy", "--seeds", "3", "7"], "without blanks: --seeds 3,7"),
        (["--datasets", "toy", "--seeds"], "--seeds: give at least one seed"),
        (["--datasets", "toy", "--seeds", "100000000"], "100,000,000 seeds; give at most 10,000"),
        (
            ["--datasets", "toy", "--seeds", "0..9999", "--num-samples", *"123456789"],
            "at most 100,000 runs",
        ),
        ([*TOY, "--max-epochs", "0"], "max_epochs = 0: must be at least 1"),
        ([*TOY, "--set", "droput=0"], "did you mean 'dropout'"),
        ([*TOY, "--set", "lr=0.5,1"], "did you mean 'learning_rate'?"),
        (
            [*TOY, "--settings", "standard", "--set", "dropout_hidden_word=true,false"],
            "it needs dropout above 0, with setting=inputless or word_dropout above 0",
        ),
        ([*TOY, "--set", "seed=4"], "use --seeds"),
        ([*TOY, "--set", "dropout"], "FIELD=VALUE"),
        (
            [*TOY, "--set", "dropout=0.3,", "0.5"],
            "--set dropout=0.3,: ends with a comma; write",
        ),
        ([*TOY, "--set", "dropout=0.3", ",0.5"], "no blanks between, such as dropout=0.3,0.5"),
        ([*TOY, "--set", "dropout=0.3", "0.5"], "no blanks between, such as dropout=0.3,0.5"),
        (["--systems", "lstm-lm", "lstm-lm"], "error: --systems: lstm-lm is given twice; leave one out"),
        (["--num-samples", "1", "5", "1"], "error: --num-samples: 1 is given twice; leave one out"),
        (["--datasets", "toy", "toy"], "error: --datasets: toy is given twice; leave one out"),
        ([*TOY, "--set", "dropout=0.3", "dropout=0.5"], "error: --set: dropout is given twice; give it"),
        ([*TOY, "--set", "dropout=0.3", "--set", "dropout=0.5"], "error: --set: dropout is given twice"),
        (
            [*TOY, "--set", "max_epochs=3", "--max-epochs", "4"],
            "error: --max-epochs and --set: max_epochs is given twice",
        ),
        (
            [*TOY, "--set", "dropout=0", "--zip", "dropout=0,0.1", "hidden_size=4,8"],
            "error: --set and --zip: dropout is given twice; give it once",
        ),
        (
            [
                *TOY,
                "--zip",
                "dropout=0,0.1",
                "hidden_size=4,8",
                "--zip",
                "dropout=0,0.2",
                "latent_size=2,3",
            ],
            "dropout is given twice; give it once",
        ),
        (
            [*TOY, "--zip", "seed=1,2", "dropout=0,0.1"],
            "--zip seed=1,2: the grid chooses seed",
        ),
        ([*TOY, "--gpus-per-run", "1", "--cpus-per-run", "auto"], "--cpus-per-run auto"),
        ([*TOY, "--dry-run", "--devices", "0"], "--devices 0: must be at least 1"),
        ([*TOY, "--dry-run", "--price-per-hour", "-1"], "--price-per-hour -1"),
        ([*TOY, "--price-per-hour", "3"], "--price-per-hour 3.0: add --dry-run; nothing is started"),
        ([*TOY, "--devices", "1", "8"], "--devices 1 8: add --dry-run; nothing is started"),
        ([*TOY, "--gpus-per-run", "1.5"], "--gpus-per-run 1.5"),
        ([*TOY, "--gpus-per-run", "nan"], "--gpus-per-run nan"),
        ([*TOY, "--gpus-per-run", "1000"], "--gpus-per-run 1000: this machine has"),
        ([*TOY, "--cpus-per-run", "100000"], "--cpus-per-run 100000: this machine has"),
        ([*TOY, "--cpus-per-run", "0"], "--cpus-per-run 0: must be at least 1"),
        ([*TOY, "--max-concurrent", "0"], "--max-concurrent 0: must be at least 1"),
        ([*TOY, "--study", "a/b"], "--study 'a/b'"),
        ([*TOY, "--storage", "file"], "cannot be written"),
        ([*TOY, "--storage", "memory://x"], "--storage memory://x: lives in one process; give a folder"),
        ([*TOY, "--wandb-project", "x"], "--wandb-project x: needs --wandb online or offline"),
        ([*TOY, "--wandb-entity", "x"], "--wandb-entity x: needs --wandb online or offline"),
        ([*TOY, "--storage", "nosuch://place"], "nosuch"),
        *(
            ([*TOY, "--storage", given], f"--storage {given}: names no bucket; give an address such as s3:")
            for given in ("s3://", "gs://", "s3:/bucket", "s3:///prefix", "nosuch:")
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_started(arguments, message, tmp_path, capsys):
    assert check_refused(main, arguments, message, tmp_path, capsys) == ""


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere", "give auto, or HOST:PORT"),
        ("ray://head:10001", "with --address auto"),
        ("127.0.0.1:1", "nothing answers there"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(address, message, capsys):
    # LSTM-VAE ends within KL annealing, which takes a note.
    assert main([*TOY, "--systems", "lstm-vae", "--max-epochs", "2", "--address", address]) == 2
    out, error = capsys.readouterr()
    assert out == ""  # no plan of a launch that cannot be
    (line,) = error.splitlines()
    assert line.startswith(f"error: --address {address}: ")
    assert message in line


@pytest.mark.parametrize("command", [["paper_grid.py", *TOY], ["search.py", "--preset", "demo"]])
def test_an_address_without_ray_is_refused_in_seconds_and_one_line(command):
    """Without our check, Ray retries for minutes and prints each attempt."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        # In a separate process, because Ray writes past what Python knows of the standard error.
        done = run_script(*command, "--address", address)
        server.shutdown()
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --address {address}: no Ray answers at {address}")
    assert len(done.stderr.splitlines()) == 1
    assert not Path("runs").exists()  # no folder that holds nothing
