"""TLS in front of a server that speaks plain HTTP: a private CA's certificate, and a pipe. For clients that insist on TLS.

The server has no TLS of its own yet. The pipe changes nothing of what passes through it: the client's Host header, and so its
signature, are those that it sent to the TLS address.
"""

import asyncio
import ssl
import subprocess
import threading

from .need import tool

BUFFER_BYTES = 256 * 1024


def certificate(directory, names):
    """A self-signed certificate for these names: the files of certificate and key. pgBackRest looks for addresses among names as well."""
    crt, key = directory / "tls.crt", directory / "tls.key"
    subject = ",".join([*(f"DNS:{name}" for name in [*names, "127.0.0.1"]), "IP:127.0.0.1"])
    command = [tool("openssl", "apt-get install openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=larder test", "-addext", f"subjectAltName={subject}", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    crt.chmod(0o644)
    return crt, key


class TlsFront:
    """Ends TLS for a server, whether it runs or not, from a thread of the test. Used in a `with` statement."""

    def __init__(self, server, directory, names):
        self.server = server
        self.certificate, key = certificate(directory, names)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.port = None

    def __enter__(self):
        self.thread.start()
        self.port = self._wait_for(self._listen())
        return self

    def __exit__(self, *_):
        self._wait_for(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def _wait_for(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _listen(self):
        self.listener = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        return self.listener.sockets[0].getsockname()[1]

    async def _close(self):
        self.listener.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client_reader, client_writer):
        try:
            server_reader, server_writer = await asyncio.open_connection(self.server.host, self.server.port)
        except OSError:
            client_writer.close()  # the server is down: so is its TLS
            return
        try:
            await asyncio.gather(_pipe(client_reader, server_writer), _pipe(server_reader, client_writer))
        except asyncio.CancelledError:
            pass  # the test is over


async def _pipe(reader, writer):
    try:
        while data := await reader.read(BUFFER_BYTES):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()
