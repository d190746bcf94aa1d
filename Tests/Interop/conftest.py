"""Fixtures for all interop tests: servers that end with their test, and whose logs are shown when it fails."""

import asyncio

import nats
import pytest

from certificates import Certificates
from servers import IS_NATS_SERVER, NATS_SERVER, PETIOLE, RUNNER, Server


def pytest_collection_modifyitems(config, items):
    if not IS_NATS_SERVER:
        return
    ours = [item for item in items if item.get_closest_marker("ours")]
    config.hook.pytest_deselected(items=ours)
    items[:] = [item for item in items if not item.get_closest_marker("ours")]


def pytest_report_header():
    return f"petiole: {' '.join([*RUNNER, PETIOLE])}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for server in getattr(item, "servers", []):
            log = server.log()
            report.sections.append((f"log of {server.name}", log[-8000:]))
    return report


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Certificates by name: certificates.files("server", "ca") are lines for a tls block."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def servers(request, tmp_path):
    """Makes servers; ends every one of them after the test."""
    made = request.node.servers = []

    def make(binary, name, **options):
        runner = RUNNER if binary == PETIOLE else ()
        server = Server(binary, tmp_path / name, name, runner=runner, **options)
        made.append(server)
        return server

    yield make
    for server in made:
        if server.running():
            server.kill()


@pytest.fixture
def petiole(servers):
    """petiole(config="", jetstream=False, leaf=False, name="edge") starts an agent."""
    return lambda config="", name="edge", **options: servers(PETIOLE, name, config=config, **options).start()


@pytest.fixture
def agent(servers):
    """An agent that has not been started yet."""
    return lambda config="", name="edge", **options: servers(PETIOLE, name, config=config, **options)


@pytest.fixture
def hub(servers):
    """hub(...) starts a real nats-server that accepts leaf nodes."""
    return lambda config="", name="hub", **options: servers(NATS_SERVER, name, config=config, **{"leaf": True, **options}).start()


@pytest.fixture
async def client():
    """await client(server) gives a connected nats-py client; all are closed after the test."""
    connected = []

    async def connect(server, **options):
        nc = await nats.connect(server.url, **{"connect_timeout": 5, "max_reconnect_attempts": 0, **options})
        connected.append(nc)
        return nc

    yield connect
    for nc in connected:
        if not nc.is_closed:
            try:
                await asyncio.wait_for(nc.close(), 5)
            except (asyncio.TimeoutError, nats.errors.Error, OSError):
                pass
