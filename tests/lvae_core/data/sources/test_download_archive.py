"""Downloads of a corpus in an archive, with other addresses if it fails, from a real local server."""

import dataclasses
import functools
import hashlib
import http.server
import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lvae_core.data.sources import download as module
from lvae_core.data.sources.download import download
from lvae_core.data.sources.public import PUBLIC, Archive, Files, Hashes, hashes_of
from lvae_core.errors import InputError

CONTENT = {split: f"a {split} document _UNK\n".encode() * 2_000 for split in ("train", "valid", "test")}
NAMES = {split: f"yahoo.{split}.txt" for split in CONTENT}
USUAL = {f"yahoo-answer-100k/{NAMES[split]}": content for split, content in CONTENT.items()}
GIT_BLOB_OF_TRAIN = hashlib.sha1(b"blob 44000\0" + CONTENT["train"]).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    requests: list[str]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files a local server serves at the addresses of a made-up yahoo."""
    folder = tmp_path / "served"
    folder.mkdir()
    Handler.requests = []
    handler = functools.partial(Handler, directory=str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        hashes = {split: Hashes(md5=hashlib.md5(content).hexdigest()) for split, content in CONTENT.items()}
        hashes["train"] = dataclasses.replace(hashes["train"], git_blob=GIT_BLOB_OF_TRAIN)
        places = (
            Archive(f"{url}/yahoo.tar.gz", Hashes(md5="0" * 32), NAMES),
            Files({"train": f"{url}/one/train.txt", "valid": f"{url}/one/val.txt"}),
            Files({"train": f"{url}/two/train.txt", "test": f"{url}/two/test.txt"}),
        )
        public = dataclasses.replace(PUBLIC["yahoo"], hashes=hashes, places=places)
        monkeypatch.setitem(PUBLIC, "yahoo", public)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def serve_archive(
    folder: Path, monkeypatch: pytest.MonkeyPatch, members: Mapping[str, bytes | str], damage: bool = False
) -> None:
    """Serve a tar archive of files (name -> content) and symbolic links (name -> target)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    data = packed.getvalue()[:-200] if damage else packed.getvalue()
    (folder / "yahoo.tar.gz").write_bytes(data)
    archive, *files = PUBLIC["yahoo"].places
    archive = dataclasses.replace(archive, hashes=Hashes(md5=hashlib.md5(data).hexdigest()))
    monkeypatch.setitem(PUBLIC, "yahoo", dataclasses.replace(PUBLIC["yahoo"], places=(archive, *files)))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}


ALL = {f"yahoo/{split}.txt": content for split, content in CONTENT.items()}


def test_the_known_hashes_of_yahoo_are_those_of_its_publications() -> None:
    train = PUBLIC["yahoo"].hashes["train"]
    assert (len(train.md5), len(train.git_blob)) == (32, 40)
    archive = PUBLIC["yahoo"].places[0]
    assert isinstance(archive, Archive)
    assert archive.members == NAMES


def test_a_git_blob_hash_is_the_one_that_git_computes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT["train"])
    by_git = subprocess.run(
        ["git", "hash-object", "--no-filters", "file"], cwd=tmp_path, capture_output=True, check=True
    )
    assert hashes_of(CONTENT["train"]).git_blob == by_git.stdout.decode().strip() == GIT_BLOB_OF_TRAIN


def test_the_files_of_an_archive_arrive_verified(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_archive(served, monkeypatch, {**USUAL, "yahoo-answer-100k/vocab.txt": b"_UNK\n"})
    paths = download("yahoo", tmp_path / "data")
    assert paths == [tmp_path / "data" / "yahoo" / f"{split}.txt" for split in CONTENT]
    assert files(tmp_path / "data") == ALL
    assert Handler.requests == ["/yahoo.tar.gz"]
    # Nothing is fetched again.
    assert download("yahoo", tmp_path / "data") == paths
    assert len(Handler.requests) == 1


def test_only_missing_files_are_taken_from_an_archive(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_archive(served, monkeypatch, USUAL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "yahoo.train.txt").write_bytes(CONTENT["train"])
    paths = download("yahoo", tmp_path / "data")
    assert paths[0] == tmp_path / "data" / "yahoo.train.txt"
    assert set(files(tmp_path / "data")) == {"yahoo.train.txt", "yahoo/valid.txt", "yahoo/test.txt"}


def test_members_with_paths_that_lead_out_of_the_folder_write_nothing_there(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = {"../../evil.txt": b"x", f"{tmp_path}/absolute.txt": b"x", "a/link": str(tmp_path)}
    hidden = {"a/link/evil.txt": b"x", "a/yahoo.train.txt": "/etc/passwd"}
    odd = {"../" + name: content for name, content in USUAL.items()}
    serve_archive(served, monkeypatch, {**outside, **hidden, **odd})
    download("yahoo", tmp_path / "data")
    assert files(tmp_path / "data") == ALL
    assert {path.name for path in tmp_path.iterdir()} == {"served", "data"}


@pytest.mark.parametrize("trouble", ["absent", "other archive", "damaged", "twice", "other member", "huge"])
def test_other_addresses_serve_if_the_archive_cannot(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "other archive":
        (served / "yahoo.tar.gz").write_bytes(b"not an archive")
    if trouble == "damaged":
        serve_archive(served, monkeypatch, USUAL, damage=True)
    if trouble == "twice":
        serve_archive(served, monkeypatch, {**USUAL, "b/yahoo.train.txt": b"x"})
    if trouble == "other member":
        serve_archive(served, monkeypatch, {**USUAL, "yahoo-answer-100k/yahoo.train.txt": b"x"})
    if trouble == "huge":
        serve_archive(served, monkeypatch, {**USUAL, "yahoo-answer-100k/yahoo.train.txt": b"x" * 60_000})
        monkeypatch.setattr(module, "MAX_BYTES", 50_000)
    for name, content in (
        ("one/train.txt", b"not the usual file"),
        ("one/val.txt", CONTENT["valid"]),
        ("two/train.txt", CONTENT["train"]),
        ("two/test.txt", CONTENT["test"]),
    ):
        (served / name).parent.mkdir(exist_ok=True)
        (served / name).write_bytes(content)
    if trouble == "absent":
        # The training file alone was published with a git blob hash.
        hashes = {**PUBLIC["yahoo"].hashes, "train": Hashes(git_blob=GIT_BLOB_OF_TRAIN)}
        monkeypatch.setitem(PUBLIC, "yahoo", dataclasses.replace(PUBLIC["yahoo"], hashes=hashes))
    download("yahoo", tmp_path / "data")
    assert files(tmp_path / "data") == ALL


def test_if_no_address_serves_the_error_is_one_line_and_arrived_files_stay(
    served: Path, tmp_path: Path
) -> None:
    (served / "two").mkdir()
    (served / "two" / "test.txt").write_bytes(CONTENT["test"])
    (served / "two" / "train.txt").write_bytes(CONTENT["train"])
    with pytest.raises(InputError) as caught:
        download("yahoo", tmp_path / "data")
    message = str(caught.value)
    assert "\n" not in message
    assert "yahoo.tar.gz: cannot be downloaded (File not found)" in message
    assert message.endswith("vae-lagging-encoder, and give --data-dir")
    assert set(files(tmp_path / "data")) == {"yahoo/train.txt", "yahoo/test.txt"}
    # The next call fetches only what is missing.
    (served / "one").mkdir()
    (served / "one" / "val.txt").write_bytes(CONTENT["valid"])
    Handler.requests.clear()
    download("yahoo", tmp_path / "data")
    assert Handler.requests == ["/yahoo.tar.gz", "/one/val.txt"]


def test_without_any_file_no_folder_is_left(served: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be downloaded"):
        download("yahoo", tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {"served"}
