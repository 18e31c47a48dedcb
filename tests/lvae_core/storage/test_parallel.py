"""How many are read at once: counted by readers that say when they begin and end."""

import threading
import time

import pytest

from lvae_core.storage.parallel import read_each


class Reader:
    """Doubles a number; knows how many of its readings there were at one time."""

    def __init__(self, wait: float = 0.0, work: int = 0) -> None:
        self.wait, self.work = wait, work
        self.now = self.most = 0
        self.read: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, number: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.read.append(number)
        time.sleep(self.wait)
        sum(range(self.work))
        with self.lock:
            self.now -= 1
        return 2 * number


@pytest.mark.parametrize("url", ["/study", "s3://bucket/study"])
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 200])
@pytest.mark.parametrize("wait", [0.0, 0.001])
def test_each_is_read_once_and_comes_in_its_order(url, count, wait):
    reader = Reader(wait)
    assert list(read_each(url, reader, iter(range(count)))) == [2 * n for n in range(count)]
    assert sorted(reader.read) == list(range(count))


def test_of_an_object_store_many_are_read_at_once():
    reader = Reader(wait=0.05)
    list(read_each("s3://bucket/study", reader, range(16)))
    assert reader.most > 4


def test_of_a_folder_that_is_waited_for_many_are_read_at_once():
    reader = Reader(wait=0.01)
    list(read_each("/far/away", reader, range(64)))
    assert reader.read[:32] == list(range(32))
    assert reader.most > 4


def test_of_a_disk_one_is_read_after_the_other():
    def most() -> int:
        reader = Reader(work=100_000)
        list(read_each("/here", reader, range(40)))
        return reader.most

    # On a machine that others keep busy, work looks like waiting; not every time.
    assert 1 in (most() for _ in range(10))


@pytest.mark.parametrize("url", ["/study", "s3://bucket/study"])
def test_what_is_raised_is_raised(url):
    def read(number: int) -> int:
        return 1 // (40 - number)

    found = read_each(url, read, range(50))
    with pytest.raises(ZeroDivisionError):
        list(found)
