"""Parallel reading: order, and the number of concurrent reads as counted by the reader."""

import threading
import time

import pytest

from lvae_core.storage.parallel import read_each


class Reader:
    """Double a number, and record the largest number of concurrent calls."""

    def __init__(self, wait: float = 0.0, work: int = 0) -> None:
        self.wait, self.work = wait, work
        self.now = self.most_at_once = 0
        self.read: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, number: int) -> int:
        with self.lock:
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            self.read.append(number)
        time.sleep(self.wait)
        sum(range(self.work))
        with self.lock:
            self.now -= 1
        return 2 * number


@pytest.mark.parametrize("url", ["/study", "s3://bucket/study"])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 200])
@pytest.mark.parametrize("wait", [0.0, 0.001])
def test_every_item_is_read_once_and_results_keep_the_order(url, count, wait):
    reader = Reader(wait)
    assert list(read_each(url, reader, iter(range(count)))) == [2 * n for n in range(count)]
    assert sorted(reader.read) == list(range(count))


def test_an_object_store_is_read_in_parallel():
    reader = Reader(wait=0.05)
    list(read_each("s3://bucket/study", reader, range(16)))
    assert reader.most_at_once > 4


def test_a_slow_folder_is_read_in_parallel():
    reader = Reader(wait=0.01)
    list(read_each("/far/away", reader, range(64)))
    assert reader.read[:32] == list(range(32))
    assert reader.most_at_once > 4


def test_a_local_disk_is_read_sequentially():
    def concurrent_reads() -> int:
        reader = Reader(work=100_000)
        list(read_each("/here", reader, range(40)))
        return reader.most_at_once

    # On a busy machine computing can look like waiting, but not every time.
    assert 1 in (concurrent_reads() for _ in range(10))


@pytest.mark.parametrize("url", ["/study", "s3://bucket/study"])
def test_an_error_of_a_read_is_raised(url):
    def read(number: int) -> int:
        return 1 // (40 - number)

    found = read_each(url, read, range(50))
    with pytest.raises(ZeroDivisionError):
        list(found)
