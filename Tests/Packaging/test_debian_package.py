"""The Debian package in a real Debian root: install, run as its unit says, publish with acks, upgrade, remove, purge.

There is no systemd in the root: the test does what the unit tells systemd to do, with the unit's own lines.
"""

import asyncio
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import nats
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "demo"))
from ports import free_port  # noqa: E402

VERSION = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)[1]
PACKAGE = REPOSITORY / f"dist/petiole_{VERSION}_amd64.deb"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}"
    return done.stdout


class Unit:
    """The service unit's settings; a key may stand more than once."""

    def __init__(self, text):
        self.entries = [line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")]

    def all(self, key):
        return [value for name, value in self.entries if name == key]

    def one(self, key):
        (value,) = self.all(key)
        return value


class Root:
    """A copy of the minimal Debian."""

    def __init__(self, path):
        self.path = path
        self.process = None

    def run(self, *command):
        return run("chroot", self.path, *command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})

    def file(self, path):
        return self.path / path.lstrip("/")

    def install(self):
        shutil.copy(PACKAGE, self.file("/tmp/petiole.deb"))
        return self.run("dpkg", "--install", "--force-confold", "/tmp/petiole.deb")

    @property
    def unit(self):
        return Unit(self.file("/lib/systemd/system/petiole.service").read_text())

    def start(self):
        """What systemd does for Type=notify with StateDirectory=: returns when the service says READY=1."""
        unit = self.unit
        user = unit.one("User")
        self.run("install", "-d", "-m", unit.one("StateDirectoryMode"), "-o", user, "-g", unit.one("Group"), f"/var/lib/{unit.one('StateDirectory')}")
        as_user = ["chroot", f"--userspec={user}:{unit.one('Group')}", str(self.path)]
        for command in unit.all("ExecStartPre"):
            run(*as_user, *command.split())
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = self.file("/run/notify")
        address.unlink(missing_ok=True)
        notify.bind(str(address))
        address.chmod(0o666)
        notify.settimeout(20)
        with open(self.file("/tmp/log"), "ab") as log:
            self.process = subprocess.Popen(
                [*as_user, *unit.one("ExecStart").split()],
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": "/run/notify"},
                umask=int(unit.one("UMask"), 8),
                stdout=log,
                stderr=log,
            )
        try:
            while "READY=1" not in notify.recv(4096).decode():
                pass
        except TimeoutError:
            raise AssertionError(f"no READY=1:\n{self.file('/tmp/log').read_text()}") from None
        finally:
            notify.close()

    def reload(self):
        for command in self.unit.all("ExecReload"):
            command = command.replace("$MAINPID", str(self.process.pid))
            if command.startswith("/bin/kill"):
                os.kill(self.process.pid, signal.SIGHUP)
            else:
                self.run(*command.split())

    def stop(self):
        self.process.terminate()
        status = self.process.wait(30)
        self.process = None
        return status


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    if os.getuid() != 0 or subprocess.run(["chroot", "/", "true"]).returncode != 0:
        pytest.skip("chroot is not possible here: the package is not installed, only inspected")
    run(REPOSITORY / "packaging/debian-root.sh", "amd64")
    # A short path: a UNIX socket's address has room for 107 bytes.
    path = tmp_path_factory.mktemp("root") / "r"
    run("cp", "-a", "--reflink=auto", REPOSITORY / ".build-debroot-amd64", path)
    root = Root(path)
    yield root
    if root.process:
        root.process.kill()


def test_the_package_says_what_it_is():
    fields = run("dpkg-deb", "--field", PACKAGE)
    assert f"Version: {VERSION}\n" in fields and "Architecture: amd64\n" in fields
    names = run("dpkg-deb", "--contents", PACKAGE)
    for name in ("./usr/bin/petiole", "./etc/petiole/petiole.conf", "./lib/systemd/system/petiole.service",
                 "./usr/share/man/man1/petiole.1.gz", "./usr/share/doc/petiole/copyright", "./usr/share/doc/petiole/changelog.gz"):  # fmt: skip
        assert f" {name}\n" in names, name


def test_the_same_binary_gives_the_same_package():
    before = PACKAGE.read_bytes()
    run(REPOSITORY / "packaging/build-deb.sh", "amd64", env={**os.environ, "SKIP_RELEASE": "1"})
    assert PACKAGE.read_bytes() == before


def test_the_unit_is_sound_and_confined(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "petiole.service"
    text = (REPOSITORY / "packaging/debian/petiole.service").read_text()
    unit.write_text(text.replace("/usr/bin/petiole", str(REPOSITORY / "dist/amd64/petiole")))
    assert run("systemd-analyze", "verify", "--man=no", unit).strip() == ""
    # In tenths; the scale ends at 10, and most of Debian's services are above 8.
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)


def test_install_run_upgrade_remove_purge(root):
    root.install()
    assert "petiole" in root.file("/etc/passwd").read_text()
    assert root.file("/etc/systemd/system/multi-user.target.wants/petiole.service").is_symlink()
    configuration = root.file("/etc/petiole/petiole.conf")
    shipped = configuration.read_text()
    port, monitor = free_port(), free_port()
    edited = shipped.replace("127.0.0.1:4222", f"127.0.0.1:{port}").replace("127.0.0.1:8222", f"127.0.0.1:{monitor}")
    assert edited != shipped
    configuration.write_text(edited)

    async def publish(expected):
        nc = await nats.connect(f"nats://127.0.0.1:{port}", connect_timeout=5, max_reconnect_attempts=0)
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        assert (await js.publish("s", b"x")).seq == expected
        await nc.close()

    root.start()
    asyncio.run(publish(1))
    root.reload()
    asyncio.run(publish(2))
    store = root.file("/var/lib/petiole")
    assert any(store.iterdir()) and store.stat().st_mode & 0o777 == 0o750
    assert all(path.stat().st_mode & 0o077 == 0 for path in store.rglob("*")), "others can read the store"
    assert root.stop() == 0

    # An upgrade keeps what the administrator wrote and what was stored.
    root.install()
    assert configuration.read_text() == edited
    root.start()
    asyncio.run(publish(3))
    assert root.stop() == 0

    root.run("dpkg", "--remove", "petiole")
    assert not root.file("/usr/bin/petiole").exists()
    assert configuration.read_text() == edited and any(store.iterdir())
    root.run("dpkg", "--purge", "petiole")
    assert not configuration.parent.exists() and not store.exists()
    assert not root.file("/etc/systemd/system/multi-user.target.wants/petiole.service").is_symlink()


def test_a_broken_configuration_keeps_the_old_service_running(root):
    """`systemctl reload` checks first: the unit's own line must fail, and nothing else happens."""
    root.install()
    configuration = root.file("/etc/petiole/petiole.conf")
    configuration.write_text("listen: [\n")
    check = root.unit.all("ExecReload")[0].split()
    done = subprocess.run(["chroot", root.path, *check], capture_output=True, text=True)
    assert done.returncode == 1 and "petiole.conf:" in done.stdout + done.stderr
    root.run("dpkg", "--purge", "petiole")
