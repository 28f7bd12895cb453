"""Bucket notifications: configurations, events in S3's JSON, and webhooks that get each of them, in order, whatever happens to them."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from larderlib.cli import Shell
from larderlib.clients import boto, unique_bucket
from larderlib.expect import refused
from larderlib.hooks import Webhook, arn, key_of, notify, target_file
from larderlib.server import Larder, poll

CREATED, REMOVED = ["s3:ObjectCreated:*"], ["s3:ObjectRemoved:*"]
TOKEN = "hook/token+secret"


@pytest.fixture(scope="module")
def hook():
    with Webhook() as hook:
        yield hook


@pytest.fixture(scope="module")
def server(tmp_path_factory, hook):
    directory = tmp_path_factory.mktemp("notifications")
    more = {"hook": {"type": "webhook", "url": hook.url, "token": TOKEN}, "few": {"type": "webhook", "url": hook.url, "accounts": ["000000000042"]}}
    targets = target_file(directory / "targets.toml", **more)
    arguments = ["--notify-targets", str(targets), "--lifecycle-day", "2s", "--trusted-proxy", "127.0.0.1"]
    with Larder(directory=directory, extra_args=arguments, environment={"LARDER_METRICS_TOKEN": "metrics-token"}) as server:
        yield server
    assert TOKEN not in server.log_path.read_text(), "a token is in the log"


@pytest.fixture
def s3(server):
    return boto(server)


@pytest.fixture
def bucket(s3):
    name = unique_bucket("notify")
    s3.create_bucket(Bucket=name)
    return name


def configuration(s3, bucket):
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    found.pop("ResponseMetadata")
    return found


# --- configurations ---------------------------------------------------------------------------------------------------


def test_a_configuration_is_kept_as_it_was_put_and_can_be_taken_away(s3, bucket):
    assert configuration(s3, bucket) == {}
    rules = [{"Name": "Prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".gz"}]
    asked = {
        "QueueConfigurations": [{"Id": "q", "QueueArn": arn("hook"), "Events": CREATED, "Filter": {"Key": {"FilterRules": rules}}}],
        "TopicConfigurations": [{"Id": "t", "TopicArn": arn("hook", "sns"), "Events": ["s3:ObjectRemoved:Delete", "s3:ObjectTagging:*"]}],
        "LambdaFunctionConfigurations": [{"Id": "f", "LambdaFunctionArn": arn("hook", "lambda"), "Events": ["s3:LifecycleExpiration:*"]}],
    }
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=asked)
    assert configuration(s3, bucket) == asked
    notify(s3, bucket, ("hook", CREATED))
    [queue] = configuration(s3, bucket)["QueueConfigurations"]
    assert queue["Id"], "one without a name gets one"
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert configuration(s3, bucket) == {}
    with refused("NoSuchBucket"):
        notify(s3, unique_bucket("none"), ("hook", CREATED))


def test_what_cannot_be_a_configuration_is_refused(s3, bucket):
    notify(s3, bucket, ("hook", CREATED))
    before = configuration(s3, bucket)
    put = s3.put_bucket_notification_configuration

    def queue(**changed):
        return {"QueueConfigurations": [{"QueueArn": arn("hook"), "Events": CREATED, **changed}]}

    def filtered(*rules):
        return queue(Filter={"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in rules]}})

    for bad in (
        queue(Events=["s3:ObjectCreated:Nothing"]),
        queue(QueueArn="arn:aws:sns:us-east-1:000000000000:hook"),
        queue(QueueArn="hook"),
        queue(QueueArn="arn:aws:sqs:eu-west-1:000000000000:hook"),
        queue(Id="x" * 256),
        filtered(("prefix", "a"), ("prefix", "b")),
        filtered(("infix", "a")),
        filtered(("suffix", "a" * 1025)),
        {"QueueConfigurations": [{"Id": "same", "QueueArn": arn("hook"), "Events": [event]} for event in CREATED + REMOVED]},
    ):
        with refused("InvalidArgument"):
            put(Bucket=bucket, NotificationConfiguration=bad)
    with refused("NotImplemented"):
        put(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    with refused("MalformedXML"):
        put(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn("hook"), "Events": []}]})
    assert configuration(s3, bucket) == before


def test_rules_that_overlap_are_refused_and_others_stand_side_by_side(s3, bucket):
    put = ["s3:ObjectCreated:Put"]
    for first, second in (
        (("hook", CREATED), ("hook", put)),
        (("hook", put, "a/"), ("hook", put, "a/b/")),
        (("hook", put, "a/"), ("hook", put, "", ".gz")),
    ):
        with refused("InvalidArgument"):
            notify(s3, bucket, first, second)
    notify(s3, bucket, ("hook", put, "a/"), ("hook", put, "b/"), ("hook", REMOVED), ("hook", ["s3:ObjectCreated:Copy"]))


def test_only_targets_of_the_operators_file_are_told_and_only_for_their_accounts(server, s3, bucket):
    for name in ("nobody", "few"):
        with refused("InvalidArgument", message="Unable to validate the following destination configurations") as error:
            notify(s3, bucket, (name, CREATED))
        assert error["ArgumentName1"] == arn(name), error
    skipped = {"QueueConfigurations": [{"QueueArn": arn("nobody"), "Events": CREATED}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=skipped, SkipDestinationValidation=True)
    server.allowed_errors.append("notifications are lost")
    before = metric(server, "larder_notify_targetless_events_total")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert metric(server, "larder_notify_targetless_events_total") == before + 1


def test_arns_of_minio_name_targets_too(s3, bucket, hook):
    minio = {"QueueConfigurations": [{"QueueArn": "arn:minio:sqs::hook:webhook", "Events": CREATED}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=minio)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    hook.wait(1, bucket)


def test_a_target_is_told_that_it_is_one(s3, bucket, hook):
    notify(s3, bucket, ("hook", CREATED))
    tests = poll(lambda: [body for body in hook.bodies if body.get("Bucket") == bucket], 30, "the test event")
    assert tests[0]["Event"] == "s3:TestEvent" and tests[0]["Service"] == "Amazon S3"
    assert tests[0]["RequestId"] and tests[0]["HostId"] and tests[0]["Time"].endswith("Z")


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_event_is_as_s3_words_it(s3, bucket, hook):
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [{"Id": "rule", "QueueArn": arn("hook"), "Events": CREATED}]}
    )
    answer = s3.put_object(Bucket=bucket, Key="a folder/flöße+1.txt", Body=b"0123456")
    [record] = hook.wait(1, bucket)
    assert record["eventName"] == "ObjectCreated:Put" and record["eventVersion"] == "2.1"
    assert record["eventSource"] == "aws:s3" and record["awsRegion"] == "us-east-1"
    assert record["eventTime"].endswith("Z")
    assert record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    assert record["responseElements"] == {"x-amz-request-id": id, "x-amz-id-2": id}
    assert record["userIdentity"]["principalId"].startswith("AWS:")
    owner = s3.list_buckets()["Owner"]["ID"]
    assert record["s3"]["bucket"] == {"name": bucket, "ownerIdentity": {"principalId": owner}, "arn": f"arn:aws:s3:::{bucket}"}
    assert record["s3"]["configurationId"] == "rule" and record["s3"]["s3SchemaVersion"] == "1.0"
    thing = record["s3"]["object"]
    assert thing["key"] == "a+folder/fl%C3%B6%C3%9Fe%2B1.txt"
    assert thing["size"] == 7 and thing["eTag"] == answer["ETag"].strip('"') and "versionId" not in thing
    assert len(thing["sequencer"]) == 16 and int(thing["sequencer"], 16)
    headers = hook.headers[-1]
    assert headers["Content-Type"] == "application/json" and headers["Authorization"] == f"Bearer {TOKEN}"


def test_each_way_to_write_has_its_name(server, s3, bucket, hook):
    events = CREATED + REMOVED + ["s3:ObjectTagging:*", "s3:ObjectAcl:Put"]
    notify(s3, bucket, ("hook", events))
    s3.put_object(Bucket=bucket, Key="put", Body=b"1")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/put")
    s3.copy_object(Bucket=bucket, Key="put", CopySource=f"{bucket}/put", MetadataDirective="REPLACE", Metadata={"a": "b"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"22")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
    s3.put_object_tagging(Bucket=bucket, Key="put", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_object_tagging(Bucket=bucket, Key="put")
    s3.delete_object(Bucket=bucket, Key="copy")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "put"}, {"Key": "parts"}, {"Key": "never was"}]})
    found = {(record["eventName"], key_of(record)): record for record in hook.wait(9, bucket)}
    assert set(found) == {
        ("ObjectCreated:Put", "put"),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectCreated:Copy", "put"),
        ("ObjectCreated:CompleteMultipartUpload", "parts"),
        ("ObjectTagging:Put", "put"),
        ("ObjectTagging:Delete", "put"),
        ("ObjectRemoved:Delete", "copy"),
        ("ObjectRemoved:Delete", "put"),
        ("ObjectRemoved:Delete", "parts"),
    }
    whole = found["ObjectCreated:CompleteMultipartUpload", "parts"]["s3"]["object"]
    assert whole["eTag"] == done["ETag"].strip('"') and whole["size"] == 2
    assert set(found["ObjectRemoved:Delete", "put"]["s3"]["object"]) == {"key", "sequencer"}
    assert found["ObjectTagging:Put", "put"]["eventVersion"] == "2.3"


def test_forms_and_nobody_in_particular_are_told_of(server, s3, bucket, hook):
    notify(s3, bucket, ("hook", ["s3:ObjectCreated:Post", "s3:ObjectCreated:Put"]))
    s3.delete_public_access_block(Bucket=bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    import urllib.request

    boundary = "x"
    form = f'--{boundary}\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n'
    form += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbody\r\n--{boundary}--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "X-Forwarded-For": "203.0.113.9"}
    urllib.request.urlopen(urllib.request.Request(f"{server.endpoint}/{bucket}", data=form.encode(), headers=headers), timeout=30)
    [record] = hook.wait(1, bucket)
    assert record["eventName"] == "ObjectCreated:Post" and record["userIdentity"] == {"principalId": "Anonymous"}
    assert record["requestParameters"] == {"sourceIPAddress": "203.0.113.9"}, "whom a trusted proxy speaks for"


def test_versions_are_named(s3, bucket, hook):
    notify(s3, bucket, ("hook", CREATED + REMOVED))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=version)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    found = [(record["eventName"], record["s3"]["object"]["versionId"]) for record in hook.wait(4, bucket)]
    assert found == [
        ("ObjectCreated:Put", version),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", version),
        ("ObjectRemoved:Delete", marker),
    ]


def test_filters_say_which_keys(s3, bucket, hook):
    notify(s3, bucket, ("hook", CREATED, "in dir/", ".gz"))
    for key in ("in dir/a.txt", "out/b.gz", "in dir/c.gz"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.put_object(Bucket=bucket, Key="in dir/last.gz", Body=b"")
    assert sorted(key_of(record) for record in hook.wait(2, bucket)) == ["in dir/c.gz", "in dir/last.gz"]


@pytest.mark.timeout(120)
def test_what_lifecycle_rules_delete_is_told_of(s3, bucket, hook):
    notify(s3, bucket, ("hook", ["s3:LifecycleExpiration:*"] + REMOVED))
    s3.put_object(Bucket=bucket, Key="old", Body=b"1")
    rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    [record] = hook.wait(1, bucket, seconds=90)
    assert record["eventName"] == "LifecycleExpiration:Delete" and key_of(record) == "old"
    assert record["userIdentity"] == {"principalId": "s3.amazonaws.com"}


def test_a_write_that_fails_is_not_told_of(s3, bucket, hook):
    notify(s3, bucket, ("hook", CREATED))
    s3.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="b", Body=b"3")
    assert sorted(key_of(record) for record in hook.wait(2, bucket)) == ["a", "b"]


def test_who_may_configure_is_said_by_policies(server, s3, bucket):
    from larderlib.iam import query

    client = query("iam", server)
    client.create_user(UserName="notify-reader")
    key = client.create_access_key(UserName="notify-reader")["AccessKey"]
    statement = {"Effect": "Allow", "Action": ["s3:GetBucketNotification"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client.put_user_policy(UserName="notify-reader", PolicyName="p", PolicyDocument=document)
    reader = boto(server, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    assert configuration(reader, bucket) == {}
    with refused("AccessDenied"):
        notify(reader, bucket, ("hook", CREATED))


def test_events_of_a_user_name_it(server, s3, bucket, hook):
    from larderlib.iam import query

    notify(s3, bucket, ("hook", CREATED))
    client = query("iam", server)
    user = client.create_user(UserName="notify-writer")["User"]
    key = client.create_access_key(UserName="notify-writer")["AccessKey"]
    statement = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client.put_user_policy(UserName="notify-writer", PolicyName="p", PolicyDocument=document)
    boto(server, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]).put_object(Bucket=bucket, Key="k", Body=b"")
    [record] = hook.wait(1, bucket)
    assert record["userIdentity"] == {"principalId": f"AWS:{user['UserId']}"}


# --- delivery ---------------------------------------------------------------------------------------------------------


def metric(server, name, **labels):
    import urllib.request

    request = urllib.request.Request(f"{server.endpoint}/_larder/metrics", headers={"Authorization": "Bearer metrics-token"})
    text = urllib.request.urlopen(request, timeout=30).read().decode()
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        if head.split("{")[0] == name and all(f'{label}="{wanted}"' in head for label, wanted in labels.items()):
            return float(value)
    return None


def in_order(records):
    """What came first of each event, by key: at least once means that one may come again."""
    by_key = {}
    for record in records:
        numbers = by_key.setdefault(key_of(record), [])
        if record["s3"]["object"]["sequencer"] not in numbers:
            numbers.append(record["s3"]["object"]["sequencer"])
    assert all(numbers == sorted(numbers) for numbers in by_key.values()), by_key
    return by_key


def test_events_of_a_key_come_in_order_under_eight_writers(server, s3, bucket, hook):
    notify(s3, bucket, ("hook", CREATED + REMOVED))

    def write(writer):
        client = boto(server)
        for turn in range(25):
            key = f"key-{turn % 3}"
            if turn % 5 == 4:
                client.delete_object(Bucket=bucket, Key=key)
            else:
                client.put_object(Bucket=bucket, Key=key, Body=b"x" * (writer * 100 + turn))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    # So that each key ends with an object.
    last = {f"key-{n}": s3.put_object(Bucket=bucket, Key=f"key-{n}", Body=b"last")["ETag"].strip('"') for n in range(3)}
    poll(lambda: metric(server, "larder_notify_waiting_events", target="hook") == 0, 60, "all is delivered")
    records = hook.records(bucket)
    numbers = in_order(records)
    puts = [record for record in records if record["eventName"] == "ObjectCreated:Put"]
    assert len({record["s3"]["object"]["sequencer"] for record in puts}) == 8 * 20 + 3, "one event for each put"
    for key, tag in last.items():
        [record] = [r for r in records if r["s3"]["object"]["sequencer"] == numbers[key][-1]][:1]
        assert record["s3"]["object"]["eTag"] == tag, "the last event of a key is of what is there"


def test_metrics_say_what_became_of_events(server, s3, bucket, hook):
    before = metric(server, "larder_notify_delivered_events_total", target="hook", type="webhook")
    notify(s3, bucket, ("hook", CREATED))
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    hook.wait(1, bucket)
    poll(lambda: metric(server, "larder_notify_delivered_events_total", target="hook") >= before + 2, 30, "counted, the test event as well")
    assert metric(server, "larder_notify_dropped_events_total", target="hook") == 0


@pytest.fixture
def own(tmp_path):
    """A server of the test's own, with a file of targets that it may change."""
    targets = tmp_path / "targets.toml"
    target_file(targets)
    server = Larder(
        directory=tmp_path / "server", extra_args=["--notify-targets", str(targets)], environment={"LARDER_METRICS_TOKEN": "metrics-token"}
    )
    server.start()
    yield server, targets
    server.close()


def with_target(server, targets, bucket="events", **settings):
    """A bucket that tells the targets, once the server knows them."""
    target_file(targets, **settings)
    s3 = boto(server)
    if not s3.list_buckets()["Buckets"]:
        s3.create_bucket(Bucket=bucket)
    names = list(settings)
    poll(lambda: all(metric(server, "larder_notify_waiting_events", target=name) is not None for name in names), 30, "targets read anew")
    notify(s3, bucket, *((name, CREATED, name + "/") for name in names))
    return s3


@pytest.mark.timeout(120)
def test_a_webhook_that_fails_gets_everything_later_and_in_order(own):
    failing = threading.Event()
    failing.set()
    with Webhook(answer=lambda body: 500 if failing.is_set() else 200) as hook:
        s3 = with_target(*own, hook={"type": "webhook", "url": hook.url})
        for turn in range(30):
            s3.put_object(Bucket="events", Key=f"hook/{turn % 5}", Body=b"x" * turn)
        poll(lambda: hook.attempts >= 3 and metric(own[0], "larder_notify_failed_attempts_total", target="hook") >= 3, 30, "attempts in vain")
        assert metric(own[0], "larder_notify_waiting_events", target="hook") == 31, "all that happened and the test event"
        failing.clear()
        assert sum(len(numbers) for numbers in in_order(hook.wait(30)).values()) == 30
        poll(lambda: metric(own[0], "larder_notify_waiting_events", target="hook") == 0, 30, "nothing waits")


@pytest.mark.timeout(120)
def test_a_webhook_that_is_down_and_comes_back(own):
    hook = Webhook()
    s3 = with_target(*own, hook={"type": "webhook", "url": hook.url})
    poll(lambda: hook.bodies, 30, "the test event")
    hook.close()
    for n in range(20):
        s3.put_object(Bucket="events", Key=f"hook/{n}", Body=b"")
    poll(lambda: metric(own[0], "larder_notify_failed_attempts_total", target="hook") >= 3, 30, "attempts in vain")
    own[0].restart()
    with Webhook(port=hook.port) as hook:
        assert {key_of(record) for record in hook.wait(20)} == {f"hook/{n}" for n in range(20)}


@pytest.mark.timeout(120)
def test_one_event_that_is_not_taken_holds_up_its_own_key_only(own):
    with Webhook(answer=lambda body: 400 if "bad" in json.dumps(body) else 200) as hook:
        s3 = with_target(*own, hook={"type": "webhook", "url": hook.url})
        for key in ("hook/bad", "hook/good", "hook/bad", "hook/fine"):
            s3.put_object(Bucket="events", Key=key, Body=b"")
        assert {key_of(record) for record in hook.wait(2)} == {"hook/good", "hook/fine"}
        for n in range(50):
            s3.put_object(Bucket="events", Key=f"hook/{n}", Body=b"")
        hook.wait(52)
        hook.answer = lambda body: 200
        assert [key_of(record) for record in hook.wait(54)][-2:] == ["hook/bad", "hook/bad"]


@pytest.mark.timeout(120)
def test_targets_are_told_independently_of_each_other(own):
    never = threading.Event()
    with Webhook(answer=lambda body: never.wait(60) and 200) as slow, Webhook() as quick:
        settings = {"slow": {"type": "webhook", "url": slow.url, "timeout": "1s"}, "quick": {"type": "webhook", "url": quick.url}}
        s3 = with_target(*own, **settings)
        for n in range(30):
            s3.put_object(Bucket="events", Key=f"slow/{n}", Body=b"")
            s3.put_object(Bucket="events", Key=f"quick/{n}", Body=b"")
        quick.wait(30)
        poll(lambda: metric(own[0], "larder_notify_failed_attempts_total", target="slow") >= 1, 30, "the slow one is late")
        never.set()
        slow.wait(30)


@pytest.mark.timeout(120)
def test_beyond_the_bound_events_are_dropped_loudly_and_writes_go_on(own):
    server, targets = own
    server.allowed_errors.append("notifications are dropped")
    with Webhook(answer=lambda body: 503) as hook:
        s3 = with_target(server, targets, hook={"type": "webhook", "url": hook.url, "max_waiting": 10})
        for n in range(25):
            s3.put_object(Bucket="events", Key=f"hook/{n}", Body=b"")
        assert metric(server, "larder_notify_waiting_events", target="hook") == 10
        assert metric(server, "larder_notify_dropped_events_total", target="hook") == 16
        assert len(s3.list_objects_v2(Bucket="events")["Contents"]) == 25
        poll(lambda: "notifications are dropped" in server.log_path.read_text(), 30, "it is said")
        hook.answer = lambda body: 200
        hook.wait(9)
        poll(lambda: metric(server, "larder_notify_waiting_events", target="hook") == 0, 30, "nothing waits")
        s3.put_object(Bucket="events", Key="hook/after", Body=b"")
        poll(lambda: "hook/after" in map(key_of, hook.records()), 30, "and there is room again")


@pytest.mark.timeout(120)
def test_the_file_of_targets_is_read_anew_and_a_mistake_in_it_changes_nothing(own):
    server, targets = own
    with Webhook() as first, Webhook() as second:
        s3 = with_target(server, targets, hook={"type": "webhook", "url": first.url})
        s3.put_object(Bucket="events", Key="hook/1", Body=b"")
        first.wait(1)
        targets.write_text("[[target]]\nname = 'hook'\ntype = 'webhook'\ntoken = 'sesame'\n")
        poll(lambda: "url is missing" in server.log_path.read_text(), 30, "the mistake is told")
        s3.put_object(Bucket="events", Key="hook/2", Body=b"")
        first.wait(2)
        assert "sesame" not in server.log_path.read_text()
        target_file(targets, hook={"type": "webhook", "url": second.url})
        poll(lambda: s3.put_object(Bucket="events", Key="hook/3", Body=b"") and second.records(), 30, "the new address")


@pytest.mark.timeout(300)
def test_no_acknowledged_write_is_without_its_event_after_kills(own):
    server, targets = own
    flaky = iter(range(10**9))
    with Webhook(answer=lambda body: 500 if next(flaky) % 7 == 0 else 200) as hook:
        with_target(server, targets, hook={"type": "webhook", "url": hook.url})
        acknowledged, lock = {}, threading.Lock()

        def write(writer, round):
            client = boto(server)
            try:
                for turn in range(10**6):
                    key = f"hook/{writer}-{turn % 4}"
                    body = b"x" * (5000 if turn % 3 else 700_000)
                    answer = client.put_object(Bucket="events", Key=key, Body=body + f"{round}/{turn}".encode())
                    with lock:
                        acknowledged.setdefault(key, []).append(answer["ETag"].strip('"'))
            except Exception:  # noqa: BLE001 - the server was killed
                return

        for round in range(6):
            with ThreadPoolExecutor(8) as pool:
                writers = [pool.submit(write, writer, round) for writer in range(8)]
                so_far = sum(map(len, acknowledged.values()))
                poll(lambda: sum(map(len, acknowledged.values())) > so_far + 40, 60, "writes")
                server.kill()
                for writer in writers:
                    writer.result()
            server.start()
        poll(lambda: metric(server, "larder_notify_waiting_events", target="hook") == 0, 120, "all is delivered")
        told = {}
        for record in hook.records():
            told.setdefault(key_of(record), []).append(record["s3"]["object"]["eTag"])
        for key, tags in acknowledged.items():
            assert set(tags) <= set(told[key]), f"{key}: a write without its event"
        assert sum(map(len, acknowledged.values())) > 240
        in_order(hook.records())


def test_larder_bucket_notify_shows_and_sets_who_is_told(server, s3, bucket, hook):
    root = Shell(server)
    assert "tells nobody" in root("bucket", "notify", bucket)
    made = root.json("bucket", "notify", bucket, "--target", "hook", "--event", "s3:ObjectCreated:*", "--prefix", "a&b/", "--suffix", ".gz", "--id", "first")
    assert made["notifications"] == [
        {"id": "first", "target": f"arn:aws:sqs:{server.region}::hook", "events": ["s3:ObjectCreated:*"], "prefix": "a&b/", "suffix": ".gz"}
    ]
    text = root("bucket", "notify", bucket, "--target", arn("hook", "sns"), "--event", "s3:ObjectRemoved:Delete", "--event", "s3:ObjectTagging:*")
    assert "first" in text and "s3:ObjectRemoved:Delete, s3:ObjectTagging:*" in text
    assert len(configuration(s3, bucket)) == 2
    s3.put_object(Bucket=bucket, Key="a&b/k.gz", Body=b"1")
    assert [key_of(record) for record in hook.wait(1, bucket)] == ["a&b/k.gz"]
    assert "larder bucket notify" in root.fails("bucket", "notify", bucket, "--remove", "none")
    left = root.json("bucket", "notify", bucket, "--remove", "first")["notifications"]
    assert [rule["target"] for rule in left] == [arn("hook", "sns")]
    assert root.json("bucket", "notify", bucket, "--none")["notifications"] == [] and configuration(s3, bucket) == {}
    assert "--notify-targets" in root.fails("bucket", "notify", bucket, "--target", "no-such-target", "--event", "s3:ObjectCreated:*")
    root.fails("bucket", "notify", bucket, "--target", "hook", code=2)
