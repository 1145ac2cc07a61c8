"""LocalEmu keeps to loopback, answers its own run alone, and ends with it."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from local.build import ROOT
from tests.worlds.aws import Emulator
from tests.worlds.localemu import LocalEmu
from tests.worlds.localemu_server import RESET, TOKEN_HEADER

pytestmark = pytest.mark.localemu

LISTENS = "0A"
LOOPBACK = "0100007F"
"""How the kernel shows the state of a listener, and the address 127.0.0.1: proc_net_tcp in its documentation."""

STARTS_ONE = """
from tests.worlds.localemu import LocalEmu
with LocalEmu() as emulator:
    print(emulator.pid, flush=True)
    input()
"""


@pytest.fixture
def localemu(emulator: Emulator) -> LocalEmu:
    assert isinstance(emulator, LocalEmu)
    return emulator


def session_of(pid: int) -> list[int]:
    """The processes of a session that is led by `pid`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == pid:
                found.append(int(folder.name))
        except ProcessLookupError:
            continue
    return found


def listeners(pid: int) -> list[str]:
    """The addresses and ports on which a session listens, as the kernel writes them."""
    files = [file for each in session_of(pid) for file in Path(f"/proc/{each}/fd").iterdir()]
    sockets = {str(file.readlink()) for file in files if file.is_symlink()}
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
            if f"socket:[{inode}]" in sockets and (state == LISTENS or table.startswith("udp")):
                found.append(local)
    return found


def test_it_listens_on_its_port_of_loopback_and_nowhere_else(localemu: LocalEmu) -> None:
    assert listeners(localemu.pid) == [f"{LOOPBACK}:{localemu.port:04X}"]


@pytest.mark.parametrize("token", [None, "", "another", "\u00e9"])
@pytest.mark.parametrize("path", ["/", "/_localemu/health", "/_localemu/state", RESET])
def test_it_refuses_whoever_does_not_have_the_token_of_this_run(
    localemu: LocalEmu, path: str, token: str | None
) -> None:
    headers = {} if token is None else {TOKEN_HEADER: token}
    request = urllib.request.Request(localemu.url + path, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403
    refused.value.close()


def test_it_ends_with_the_process_that_started_it_however_that_ends(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/layers/relay", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", STARTS_ONE]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while session_of(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
