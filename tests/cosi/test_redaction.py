"""Nothing that the driver ever writes holds a secret, neither one that it granted nor its own."""

import base64
import urllib.parse

import pytest
from larderlib.cosi import Driver, Refused


def forms(secret):
    """As it may stand in a text: as it is, in base64 and hex, in a URL, in JSON."""
    raw = secret.encode()
    yield secret
    yield base64.b64encode(raw).decode().rstrip("=")
    yield raw.hex()
    yield urllib.parse.quote(secret, safe="")
    yield secret.replace("/", "\\/")


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_no_secret_is_written_anywhere(server, name, account, log_format):
    written = []

    def refused(call, *args, **more):
        with pytest.raises(Refused) as error:
            call(*args, **more)
        written.append(f"{error.value.code} {error.value.message}")

    # Everything of everybody: the driver's libraries too.
    with Driver(server, extra_args=["--log-format", log_format, "--log-level", "trace,larder_cosi=trace"]) as driver:
        driver.create(name)
        granted = [driver.grant(name, f"{account}-{mode}", accessMode=mode) for mode in ("ReadWrite", "ReadOnly")]
        assert granted[0] == driver.grant(name, f"{account}-ReadWrite", accessMode="ReadWrite")
        refused(driver.grant, name, f"{account}-ReadWrite", accessMode="ReadOnly")
        refused(driver.grant, name, "")
        refused(driver.grant, "no-such-bucket", account)
        refused(driver.create, name, quotaBytes="1")
        refused(driver.create, name, noSuchParameter="1")
        for page in ("/metrics", "/readyz", "/healthz"):
            written.append(driver.page(page)[1])
        for one in granted:
            driver.revoke(name, one.account)
        driver.delete(name)
        assert driver.stop() == 0
        log = driver.log()
    # It is the log of all that, in every detail.
    assert "v1alpha1/DriverGrantBucketAccess" in log and f"{account}-ReadOnly" in log
    assert "TRACE" in log and any(library in log for library in ("hyper", "h2"))
    text = log + "\n".join(written)
    for secret in [driver.secret_key, *(one.secret_key for one in granted)]:
        for form in forms(secret):
            assert form not in text, f"a secret, as {'it is' if form == secret else 'encoded'}"


def test_a_driver_with_wrong_credentials_says_so_without_them(server, name):
    with Driver(server, secret_key="wrong/secret+of/the+driver0123456789ab") as driver:
        with pytest.raises(Refused) as refused:
            driver.create(name)
        assert refused.value.code == "PERMISSION_DENIED"
        status, why = driver.page("/readyz")
        assert status == 503
        for secret in (driver.secret_key, server.secret_key):
            assert secret not in refused.value.message + why + driver.log()
