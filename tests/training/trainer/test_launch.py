from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig
from places import ROOT

LAUNCH = ROOT / "probe" / "training" / "launch"
FILES = sorted(LAUNCH.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_takes_the_configuration(path: Path):
    config = ClusterConfig.from_yaml_file(yaml_file=str(path))
    assert config.num_processes > 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_says_whether_anybody_ran_it(path: Path):
    """`test_trainer` starts its two processes from ``one-node``; the others want GPUs."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert ("Not run here" in first) == (path.stem != "one-node")


def test_there_is_one_for_each_way():
    assert {path.stem for path in FILES} == {"one-node", "several-nodes", "fsdp", "zero3"}
