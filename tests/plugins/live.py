"""Fixtures of the tests that make connections: tests/target and tests/interop."""

from pathlib import Path

import pytest

from plugins.peers import Servers
from plugins.pki import Pki
from plugins.target import target_class


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

    def run(lines, *, quiet=True, heapsize="8M", **how):
        done = target.run(f"{target.driver}\n{lines}", heapsize=heapsize, **how)
        assert done.returncode == 0, done
        if quiet:
            assert done.stderr == "" and done.stdout.count("\n") == 1, done
        return done.result

    return run


@pytest.fixture
def attempt(drive):
    """attempt(build=…, port=…, secure={…}, …): one connection, as driver.attempt tells of it."""

    def run(build="stock", env=None, heapsize="8M", **row):
        options = {"build": build, "env": env, "heapsize": heapsize, "timeout_s": 20}
        return drive("tell(attempt(**ROW))", params={"ROW": row}, **options)

    return run


@pytest.fixture(scope="session")
def clock():
    """clock(time): the environment in which a program's clock begins there (a datetime)."""
    found = [
        one for place in ("/usr/lib", "/usr/local/lib") for one in Path(place).glob("**/libfaketime.so.1")
    ]
    if not found:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")

    def env(time):
        # Not the monotonic clock: deadlines are counted on it.
        return {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME": time.strftime("@%Y-%m-%d %H:%M:%S"),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }

    return env


def pytest_generate_tests(metafunc):
    """A test that takes `build` runs once for each build of the target, or of its module's BUILDS."""
    if "build" in metafunc.fixturenames:
        builds = target_class(metafunc.config).builds
        wanted = getattr(metafunc.module, "BUILDS", builds)
        metafunc.parametrize("build", [build for build in builds if build in wanted])
