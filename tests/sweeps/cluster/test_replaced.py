import types

import pytest

from sweeps.cluster.replaced import replaced


def test_names_have_their_own_values_again_after_an_error():
    module = types.SimpleNamespace(limit=30, name="a")

    def fail() -> None:
        with replaced(module, limit=60, name="b"):
            assert (module.limit, module.name) == (60, "b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (module.limit, module.name) == (30, "a")


def test_a_name_that_the_library_has_lost_is_an_error_and_nothing_changes():
    module = types.SimpleNamespace(limit=30)
    with pytest.raises(AttributeError, match="timeout"), replaced(module, limit=60, timeout=1):
        pass
    assert module == types.SimpleNamespace(limit=30)
