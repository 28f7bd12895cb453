"""The command line, asked as an operator, an account's root, a user or nobody."""

import json
import os
import subprocess

from .server import larder_binary


def environment(server, access_key=None, secret_key=None, token=None, **more):
    """What a shell has in which `larder` asks the server: as the operator, unless another key is given; nothing of the caller's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LARDER_", "AWS_"))}
    found = {"LARDER_ENDPOINT": server.endpoint}
    if server.ca_file:
        found["LARDER_CA_FILE"] = server.ca_file
    if access_key:
        found |= {"LARDER_ACCESS_KEY": access_key, "LARDER_SECRET_KEY": secret_key}
        found |= {"LARDER_SESSION_TOKEN": token} if token else {}
    else:
        found |= {"LARDER_ROOT_ACCESS_KEY": server.access_key, "LARDER_ROOT_SECRET_KEY": server.secret_key}
    return kept | found | more


def larder(server, *arguments, input=None, env=None, timeout=60, **pair):
    """Runs a command to its end, whatever that is."""
    command = [larder_binary(), *map(str, arguments)]
    env = environment(server, **pair) if env is None else env
    return subprocess.run(command, capture_output=True, text=True, input=input, env=env, timeout=timeout)


def started(server, *arguments):
    """A command that goes on."""
    command = [larder_binary(), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(server))


class Shell:
    """Runs commands as somebody: `shell("user", "list")` is what it prints, `shell.json(...)` that as JSON, `shell.fails(...)` its one line on stderr."""

    def __init__(self, server, env=None, **pair):
        self.server, self.env = server, env or environment(server, **pair)

    def run(self, *arguments, **options):
        return larder(self.server, *arguments, env=self.env, **options)

    def __call__(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self(*arguments, "--json", **options))

    def fails(self, *arguments, code=1, **options):
        """That it fails, in one line that says what to do next."""
        done = self.run(*arguments, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert not done.stdout
        if code == 1:
            assert done.stderr.startswith("larder: ") and len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr


def exported(lines):
    """What lines for a shell set, as a shell understands them; it knows nothing else."""
    script = 'set -e; eval "$LINES"; env -0'
    done = subprocess.run(["bash", "-c", script], env={"LINES": lines, "PATH": os.environ["PATH"]}, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0") if entry)
    return {name: value for name, _, value in pairs if name.startswith("AWS_")}
