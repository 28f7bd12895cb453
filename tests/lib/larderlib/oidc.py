"""An identity provider on loopback that signs tokens with keys of its own, as the API server of a cluster signs those of service accounts."""

import base64
import functools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import rsa


def _encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value):
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@functools.cache
def keys(name):
    """A key pair, the same for each name: making one takes a while."""
    return rsa.newkeys(2048)


class Provider:
    """`requests` counts what was asked for, by path."""

    def __init__(self):
        self.requests = {}
        self.keys = {}
        self.rotate("key-1")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests[self.path] = outer.requests.get(self.path, 0) + 1
                documents = {"/.well-known/openid-configuration": outer.discovery, "/keys": outer.published}
                body = json.dumps(documents[self.path]()).encode() if self.path in documents else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.issuer = self.url
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    @property
    def name(self):
        """As policies call it."""
        return self.url.removeprefix("http://")

    def discovery(self):
        return {"issuer": self.issuer, "jwks_uri": self.url + "/keys"}

    def published(self):
        public = [(name, key[0]) for name, key in self.keys.items()]
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, "n": _number(key.n), "e": _number(key.e)} for name, key in public]}

    def rotate(self, name):
        """Signs with a new key from now on, and publishes only that."""
        self.keys = {name: keys(name)}

    def token(self, subject="system:serviceaccount:db:backup", audience="larder", seconds=600, header=None, private=None, **claims):
        name, (_, key) = next(iter(self.keys.items()))
        head = {"alg": "RS256", "typ": "JWT", "kid": name, **(header or {})}
        body = {"iss": self.issuer, "sub": subject, "aud": audience, "exp": int(time.time()) + seconds, "iat": int(time.time()), **claims}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, body))
        return signed + "." + _encoded(rsa.sign(signed.encode(), private or key, "SHA-256"))
