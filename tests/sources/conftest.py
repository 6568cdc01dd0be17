"""What tests of sources share."""

from collections.abc import Iterator

import pytest

from helpers.sources import source_threads


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    yield
    assert source_threads() == []
