"""What is installed to run the connector is what its tests were run with."""

import re
from pathlib import Path

CONFIG = Path(__file__).parent.parent / "config"


def versions(name: str) -> set[tuple[str, str]]:
    """Name and version of each package that the lock names."""
    return set(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (CONFIG / name).read_text(), re.MULTILINE))


def test_both_locks_name_the_same_versions() -> None:
    run, tested = versions("requirements.lock"), versions("requirements-dev.lock")
    assert {"flask", "sqlalchemy", "rq"} <= {name for name, _ in run}
    assert run - tested == set()
