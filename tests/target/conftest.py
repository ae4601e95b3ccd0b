from pathlib import Path

import pytest

from plugins.peers import Servers
from plugins.pki import Pki
from plugins.target import target_class

DRIVER = (Path(__file__).parent / "driver.py").read_text()


@pytest.fixture(scope="session")
def session_target(request):
    target = target_class(request.config)()
    yield target
    target.close()


@pytest.fixture
def target(session_target):
    """Where to run MicroPython code; what a test leaves running is ended with it."""
    yield session_target
    session_target.stop()


@pytest.fixture(scope="session")
def pki():
    return Pki()


@pytest.fixture(scope="session")
def session_servers(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


@pytest.fixture
def servers(session_servers):
    """Starts servers, proxies and the like; those of `python` stay for the next test, others end with it."""
    yield session_servers
    session_servers.stop()


@pytest.fixture
def drive(target):
    """drive(lines, build=…, **params): runs tests/target/driver.py and `lines`, which `tell` a value.
    Demands that nothing else is printed: no message of the interpreter, no trace."""

    def run(lines, *, quiet=True, **how):
        done = target.run(f"{DRIVER}\n{lines}", **how)
        assert done.returncode == 0, done
        if quiet:
            assert done.stderr == "" and done.stdout.count("\n") == 1, done
        return done.result

    return run


@pytest.fixture
def attempt(drive):
    """attempt(build=…, port=…, secure={…}, …): one connection, as driver.attempt tells of it."""

    def run(build="stock", env=None, heapsize=None, **row):
        return drive("tell(attempt(**ROW))", build=build, env=env, heapsize=heapsize, params={"ROW": row})

    return run


def pytest_generate_tests(metafunc):
    """A test that takes `build` runs once for each build of the target; `core` ones on all, others
    leave out the oldest."""
    if "build" in metafunc.fixturenames:
        builds = target_class(metafunc.config).builds
        metafunc.parametrize("build", builds)
