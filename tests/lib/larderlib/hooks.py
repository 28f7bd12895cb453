"""Webhooks for tests of notifications: a small HTTP server that keeps what it is sent, and answers as it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_plus

from .server import poll


class Webhook:
    """`bodies` has what was acknowledged, in the order in which it came. While `answer` gives another status than 200, nothing is."""

    def __init__(self, port=0, answer=None):
        self.bodies, self.headers, self.attempts = [], [], 0
        self.is_closed = False
        self.answer = answer or (lambda body: 200)
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                if outer.is_closed:
                    # A connection that is kept open outlives its server.
                    self.close_connection = True
                    return
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.attempts += 1
                status = outer.answer(body)
                if status == 200:
                    with outer.lock:
                        outer.bodies.append(body)
                        outer.headers.append(self.headers)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            # A client that was killed is no matter of the test's output.
            def handle_error(self, *_):
                pass

        self.http = Server(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.is_closed = True
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def records(self, bucket=None):
        """All records but those of test events, as they came."""
        with self.lock:
            bodies = list(self.bodies)
        found = [record for body in bodies for record in body.get("Records", [])]
        return [record for record in found if bucket in (None, record["s3"]["bucket"]["name"])]

    def wait(self, count, bucket=None, seconds=30):
        """The records, once there are so many."""
        return poll(lambda: (found := self.records(bucket)) and len(found) >= count and found, seconds, f"{count} events")


def key_of(record):
    return unquote_plus(record["s3"]["object"]["key"])


def target_file(path, **targets):
    """A file of targets: a table of settings for each name."""
    text = ""
    for name, settings in targets.items():
        text += f'[[target]]\nname = "{name}"\n'
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    path.write_text(text)
    return path


def arn(name, kind="sqs"):
    return f"arn:aws:{kind}:us-east-1:000000000000:{'function:' if kind == 'lambda' else ''}{name}"


def notify(s3, bucket, *rules):
    """Has a bucket tell targets: each rule a name, its events, and what its keys begin and end with."""
    queues = []
    for name, events, *filters in rules:
        rule = {"QueueArn": arn(name), "Events": events}
        named = [{"Name": kind, "Value": value} for kind, value in zip(("prefix", "suffix"), filters) if value]
        if named:
            rule["Filter"] = {"Key": {"FilterRules": named}}
        queues.append(rule)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues})
