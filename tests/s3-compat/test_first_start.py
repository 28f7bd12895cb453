"""What a newcomer sees at the first start: the server's own lines, and refusals that say what to do."""

import subprocess

from larderlib.server import Larder


def test_log_lines_are_the_servers_own(tmp_path):
    server = Larder(directory=tmp_path / "server")
    server.start()
    server.close()
    lines = [line for line in server.log_path.read_text().splitlines() if " INFO " in line]
    assert lines and not [line for line in lines if " INFO larder" not in line]


def test_directories_that_are_not_there_are_refused_with_what_to_do(tmp_path):
    server = Larder(directory=tmp_path / "server")
    command = server.command()
    for disk in server.disks:
        disk.rmdir()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert str(server.disks[0]) in ended.stderr and "mkdir -p" in ended.stderr
    assert not server.disks[0].exists(), "nothing may be made where a mount point is missing"
