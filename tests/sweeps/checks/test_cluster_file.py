from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sweeps.checks.cluster_file import examine
from sweeps.doctor import main

ROOT = Path(__file__).parents[3]
FIELDS = [
    *("cluster_name", "provider", "provider.type", "provider.head_ip", "provider.worker_ips"),
    *("auth.ssh_user", "auth.ssh_private_key", "file_mounts", "head_start_ray_commands"),
]


@pytest.fixture
def rack(tmp_path, monkeypatch):
    """``clusters/rack.yaml`` with the user's changes; a home with key and token, a checkout with data."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".ssh/id_ed25519", ".ray/auth_token"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    checkout = tmp_path / "lvae"
    checkout.mkdir()
    config = yaml.safe_load((ROOT / "clusters" / "rack.yaml").read_text())
    for path in config["file_mounts"].values():
        if not path.startswith("~"):
            (checkout / path).touch()
    config["provider"] |= {"head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}
    monkeypatch.chdir(checkout)
    return config


def write(config) -> str:
    Path("file.yaml").write_text(yaml.safe_dump(config))
    return "file.yaml"


def test_a_valid_file_leads_to_the_next_command(rack, capsys):
    assert main(["--cluster", write(rack)]) == 0
    out, err = capsys.readouterr()
    assert "next: ray up -y file.yaml" in out
    assert err == ""


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(rack, field):
    *path, last = field.split(".")
    place = rack
    for part in path:
        place = place[part]
    del place[last]
    found = examine(write(rack))
    assert {finding.state for finding in found} == {"failure"}
    assert f"{'provider.type' if field == 'provider' else field} is missing" in [f.detail for f in found]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("file_mounts", ["x"], "file_mounts: ['x'] is not a mapping of paths to paths"),
        ("provider.worker_ips", 5, "provider.worker_ips: 5 is not a list"),
        ("auth.ssh_private_key", ["x"], "auth.ssh_private_key: ['x'] is not text"),
        ("auth.ssh_private_key", "~no-such-user/k", "~no-such-user/k: no path (RuntimeError: Could not"),
        ("auth.ssh_private_key", "k" * 300, "File name too long"),
    ],
)
def test_a_value_that_is_no_path_or_of_another_type_is_one_clear_line(rack, field, value, problem, capsys):
    *path, last = field.split(".")
    place = rack
    for part in path:
        place = place[part]
    place[last] = value
    (found,) = examine(write(rack))
    assert problem in found.detail
    assert main(["--cluster", "file.yaml"]) == 2
    assert "unexpected" not in "".join(capsys.readouterr())


def test_a_field_outside_rays_schema_is_named(rack):
    (found,) = examine(write(rack | {"max_worker": 3}))
    assert "'max_worker' was unexpected" in found.detail


def test_placeholders_and_missing_files_are_named(rack, tmp_path, capsys):
    for path in (tmp_path / ".ray" / "auth_token", tmp_path / ".ssh" / "id_ed25519", Path("data")):
        path.unlink()
    rack["provider"]["head_ip"] = "192.0.2.10"
    found = examine(write(rack))
    assert sorted(finding.detail for finding in found) == [
        "192.0.2.10: example addresses, not machines",
        "the folder data is not there",
        "~/.ray/auth_token is not there",
        "~/.ssh/id_ed25519 is not there",
    ]
    assert main(["--cluster", "file.yaml"]) == 2
    assert "fix what has failed" in capsys.readouterr().out


def test_the_aws_file_lacks_only_an_image_and_one_time_files(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    said = {finding.detail for finding in examine("cluster.yaml")}
    assert "metadata.image: an image that does not exist" in said
    assert said <= {
        "metadata.image: an image that does not exist",
        "~/.ray/auth_token is not there",
        "the folder data is not there",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "error: --cluster file.yaml: cannot be read (No such file or directory)"),
        ("a: 1\nb: [\n", "error: --cluster file.yaml:3: not YAML"),
        ("", "error: --cluster file.yaml: no fields in it"),
    ],
)
def test_an_unusable_cluster_file_is_one_line(text, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("file.yaml").write_text(text)
    assert main(["--cluster", "file.yaml"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)
