"""A real PostgreSQL that archives its log: made, run and thrown away in a directory of its own.

PostgreSQL refuses to run as root, so as root it runs as the user `postgres`. The private Python environment may lie below a home
directory that this user cannot read; it gets the capability to read (CAP_DAC_READ_SEARCH) instead of changed permissions.
"""

import glob
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from .need import missing
from .server import poll

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{directory}'
port = 5432
wal_level = replica
max_wal_senders = 4
archive_mode = on
archive_command = '{archive}'
restore_command = '{restore}'
shared_buffers = 32MB
checkpoint_timeout = 1min
log_line_prefix = '%m [%p] '
"""


def programs():
    """The newest installed server's directory of programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: float(path.split("/")[4]))
    if found:
        return Path(found[-1]).parent
    initdb = shutil.which("initdb")
    if initdb is None:
        missing("the PostgreSQL server", "apt-get install postgresql")
    return Path(initdb).resolve().parent


def unprivileged():
    """The words to put before a command so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    capability = "+dac_read_search"
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", f"--inh-caps={capability}", f"--ambient-caps={capability}"]


class Postgres:
    def __init__(self, directory, archive, restore, environment):
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.programs = programs()
        self.settings = SETTINGS.format(directory=self.directory, archive=archive, restore=restore)
        self.environment = {**environment, "PGHOST": str(self.directory), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        self.own(self.directory)

    def own(self, path):
        Path(path).mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(path, user.pw_uid, user.pw_gid)
        # Every directory above must let the other user through; those of pytest do not by themselves.
        for parent in Path(path).parents:
            if parent.is_relative_to("/tmp") and parent != Path("/tmp") and os.stat(parent).st_uid == os.geteuid():
                parent.chmod(parent.stat().st_mode | 0o011)

    def popen(self, *command, **options):
        command = [*unprivileged(), *map(str, command)]
        return subprocess.Popen(command, env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL, **options)

    def run(self, *command, status=(0,), timeout=180):
        """Runs a program as the database's user; returns what it printed."""
        command = [*unprivileged(), *map(str, command)]
        done = subprocess.run(
            command, env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode in status, f"{command[-8:]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def create(self):
        self.run(self.programs / "initdb", "--pgdata", self.data, "--username", "postgres", "--auth", "trust", "--data-checksums")
        (self.data / "postgresql.auto.conf").write_text(self.settings)

    def start(self):
        command = [self.programs / "pg_ctl", "start", "--pgdata", self.data, "--log", self.directory / "postgres.log", "--wait", "--timeout", "120"]
        # pg_ctl's child keeps its output open: it must not be a pipe that is read to its end.
        process = self.popen(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert process.wait(150) == 0, self.log_tail()

    def stop(self, mode="fast"):
        if (self.data / "postmaster.pid").exists():
            self.run(self.programs / "pg_ctl", "stop", "--pgdata", self.data, "--mode", mode, "--wait", "--timeout", "120")

    def log_tail(self):
        log = self.directory / "postgres.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-40:]) if log.exists() else "(no log)"

    def query(self, statement):
        return self.run(self.programs / "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", statement).strip()

    def pgbench(self, *arguments, **options):
        return self.popen(self.programs / "pgbench", *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

    def archive_now(self, seconds=90):
        """Switches the log and waits until the segment is in the archive."""
        last = self.query("select pg_walfile_name(pg_switch_wal())")
        archived = "select coalesce(last_archived_wal, '') from pg_stat_archiver"
        poll(lambda: self.query(archived)[:24] >= last, seconds, f"{last} archived")

    def lose_the_disk(self):
        """What a dead volume leaves behind: nothing."""
        self.stop("immediate")
        shutil.rmtree(self.data)

    def recover_to(self, moment):
        """Lets the restored directory replay its archive up to a moment, and then be a primary."""
        with open(self.data / "postgresql.auto.conf", "a") as settings:
            settings.write(f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n")
        (self.data / "recovery.signal").touch()

    def wait_until_primary(self, seconds=120):
        try:
            poll(lambda: self.query("select pg_is_in_recovery()") == "f", seconds, "end of recovery")
        except (TimeoutError, AssertionError) as error:
            raise AssertionError(self.log_tail()) from error
