"""A replica of a fake model."""

from collections.abc import AsyncIterator

import pytest

from deployments.replica import Replica
from tests.deployments.fake_model import FakeModel


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    made = Replica(FakeModel())
    yield made
    await made.close()
