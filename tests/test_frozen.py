"""`Frozen`: a dict for reading, which goes wherever a dict goes."""

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr._frozen import Frozen

JSON = st.dictionaries(st.text(), st.lists(st.integers()) | st.none() | st.text())


@given(JSON)
def test_it_reads_like_the_dict_that_it_was_made_of(content: dict[str, Any]) -> None:
    frozen = Frozen(content)
    assert frozen == content
    assert repr(frozen) == repr(content)
    assert [*frozen] == [*content]
    assert json.dumps(frozen) == json.dumps(content)


@given(JSON)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_comes_back_from_a_pickle_as_it_was(protocol: int, content: dict[str, Any]) -> None:
    restored = pickle.loads(pickle.dumps(Frozen(content), protocol))
    assert restored == content
    assert type(restored) is Frozen


def test_a_copy_shares_the_values_and_a_deep_copy_does_not() -> None:
    frozen = Frozen(values=[1])
    shallow, deep = copy.copy(frozen), copy.deepcopy(frozen)
    assert shallow == deep == frozen
    assert type(shallow) is type(deep) is Frozen
    assert shallow["values"] is frozen["values"]
    assert deep["values"] is not frozen["values"]


@pytest.mark.parametrize(
    "change",
    [
        lambda frozen: operator.setitem(frozen, "a", 2),
        lambda frozen: operator.delitem(frozen, "a"),
        lambda frozen: operator.ior(frozen, {"b": 2}),  # type: ignore[no-untyped-call]
        lambda frozen: frozen.clear(),
        lambda frozen: frozen.pop("a"),
        lambda frozen: frozen.pop("b", None),
        lambda frozen: frozen.popitem(),
        lambda frozen: frozen.setdefault("b", 2),
        lambda frozen: frozen.update(b=2),
    ],
)
def test_it_refuses_every_change_and_says_what_to_do(change: Callable[[Frozen], object]) -> None:
    frozen = Frozen(a=1)
    with pytest.raises(TypeError, match=r"does not support .* change a copy, made by dict\(\)"):
        change(frozen)
    assert frozen == {"a": 1}


def test_a_dict_of_it_and_a_union_with_it_take_changes() -> None:
    frozen = Frozen(a=1)
    plain = dict(frozen)
    plain["a"] = 2
    union = frozen | {"b": 3}
    union["b"] = 4
    assert (frozen, plain, union) == ({"a": 1}, {"a": 2}, {"a": 1, "b": 4})
