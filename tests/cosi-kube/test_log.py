"""What the controllers log of objects that can't be made true."""

import collections
import json
import re

from larderlib.cosi import Driver
from larderlib.server import poll

NAME = "log.cosi.test"


def test_a_claim_that_can_not_be_is_logged_once(server, kube):
    buckets = kube.bucket_class(driver=NAME, noSuchParameter="1")
    arguments = ["--driver-name", NAME, "--controllers", "standalone", "--kubeconfig", str(kube.kubeconfig), "--log-format", "json"]
    with Driver(server, extra_args=arguments) as driver:
        kube.claim(kube.namespace(), "photos", bucketClassName=buckets)

        def refusals():
            _, page = driver.page("/metrics")
            return sum(int(count) for count in re.findall(r'^larder_cosi_reconciles_total{[^}]*outcome="refused"[^}]*} (\d+)$', page, re.M))

        poll(lambda: refusals() >= 5, 60, "it is tried five times")
        lines = [json.loads(line)["fields"] for line in driver.log().splitlines()]
    told = collections.Counter((line["kind"], line["name"], line["message"]) for line in lines if "kind" in line and "name" in line)
    assert [key for key in told if "noSuchParameter" in key[2]], told
    assert set(told.values()) == {1}, told
