"""What tests of training share."""

from collections.abc import Iterator

import pytest
from trainer_runs import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    scratch = tmp_path_factory.mktemp("server")
    server = Server(scratch, scratch / "cache")
    yield server
    server.stop()
