"""Downloads from a real local server: correct, wrong, cut short, missing, endless and stalled files."""

import dataclasses
import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvae_core.data.sources import download as module
from lvae_core.data.sources.download import download
from lvae_core.data.sources.public import PUBLIC, Hashes
from lvae_core.errors import InputError

CONTENT = {split: f"a {split} sentence\n".encode() * 20_000 for split in ("train", "valid", "test")}


class Server(http.server.ThreadingHTTPServer):
    """Serve CONTENT under the usual names; ``fault`` says what goes wrong with the test file."""

    daemon_threads = True
    fault = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/data/"
        self.released = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        split = self.path.removeprefix("/data/ptb.").removesuffix(".txt")
        content = CONTENT[split]
        fault = self.server.fault if split == "test" else ""
        if fault == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        if fault != "endless":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "cut":
            content = content[:1000]
        if fault == "wrong":
            content = content[:-2] + b"!\n"
        if fault == "silent":
            self.wfile.write(content[:1000])
            self.wfile.flush()
            self.server.released.wait(30)
            return
        self.wfile.write(content)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hashes = {split: Hashes(hashlib.sha256(content).hexdigest()) for split, content in CONTENT.items()}
    monkeypatch.setitem(PUBLIC, "ptb", dataclasses.replace(PUBLIC["ptb"], hashes=hashes))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def error_of_download(server: Server, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        download("ptb", folder, base_url=server.url)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_files_arrive_complete_and_progress_is_printed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = download("ptb", tmp_path / "new", base_url=server.url)
    assert paths == [tmp_path / "new" / "ptb" / f"{split}.txt" for split in CONTENT]
    assert {path.stem: path.read_bytes() for path in paths} == CONTENT
    assert files(tmp_path) == {f"new/ptb/{split}.txt" for split in CONTENT}
    progress = capsys.readouterr()
    assert progress.out == ""
    assert progress.err.count("\n") == 3
    assert "ptb.train.txt: 0.3 of 0.3 MB, 0 s left" in progress.err


def test_a_correct_existing_file_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    download("ptb", tmp_path, base_url=server.url)
    assert len(server.requests) == 3
    (tmp_path / "ptb" / "valid.txt").unlink()
    (tmp_path / "ptb" / "test.txt").rename(tmp_path / "ptb.test.txt")
    paths = download("ptb", tmp_path, base_url=server.url)
    assert server.requests[3:] == ["/data/ptb.valid.txt"]
    assert paths[2] == tmp_path / "ptb.test.txt"


def test_a_different_file_with_the_same_name_is_not_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ptb").mkdir()
    mine = tmp_path / "ptb" / "train.txt"
    mine.write_text("my own text\n")
    assert f"{mine}: not the usual ptb train file; move it away" in error_of_download(server, tmp_path)
    assert mine.read_text() == "my own text\n"
    assert server.requests == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "ptb.test.txt: cannot be downloaded (Not Found)"),
        ("wrong", "not the usual file, so not kept"),
        ("cut", "ptb.test.txt: cut short at 1000 of"),
        ("endless", "ptb.test.txt: sends more than 600000 bytes"),
        ("silent", "ptb.test.txt: cannot be downloaded (timed out)"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    server.fault = fault
    if fault == "silent":
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    if fault == "endless":
        monkeypatch.setitem(CONTENT, "test", b"x" * 700_000)
        monkeypatch.setattr(module, "MAX_BYTES", 600_000)
    assert message in error_of_download(server, tmp_path)
    assert files(tmp_path) == {"ptb/train.txt", "ptb/valid.txt"}
    if fault == "endless":
        return
    # Once the fault is gone, the same command fetches only the missing file.
    server.fault = ""
    download("ptb", tmp_path, base_url=server.url)
    assert len(server.requests) == 4


def test_a_refused_connection_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # Bound but not listening: connections are refused.
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(InputError, match=r"cannot be downloaded .*refused"):
            download("ptb", tmp_path / "data", base_url=url)
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_address_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be downloaded"):
        download("ptb", tmp_path, base_url="no-address")
    assert files(tmp_path) == set()


def test_a_folder_that_cannot_be_written_is_an_input_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ptb").write_text("a file where the folder should be")
    assert "cannot be written" in error_of_download(server, tmp_path)


def test_an_unknown_dataset_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown dataset to download 'toy'"):
        download("toy", tmp_path)
