"""Notifications to brokers: a real NATS server, and for Kafka the mock cluster of its C client, of which no registry has a server that runs without Java."""

import asyncio
import json
import socket
import subprocess
import threading

import pytest
from larderlib.clients import boto
from larderlib.hooks import key_of, notify, target_file
from larderlib.need import library, tool
from larderlib.server import Larder, free_port_pairs, poll

CREATED = ["s3:ObjectCreated:*"]
PASSWORD = "nats/password+secret"


class Nats:
    """`nats-server` with JetStream, whose users have passwords. It is started again on its port and its directory."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port_pairs(1)[0]
        self.process = None

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        config = self.directory / "nats.conf"
        user = f'{{ user: "larder", password: "{PASSWORD}" }}'
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.directory}/store", sync_interval: always }}\n'
            f"authorization {{ users: [ {user} ] }}\n"
        )
        self.process = subprocess.Popen([tool("nats-server"), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        poll(self.listens, 30, "NATS")
        return self

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def run(self, use):
        """What `use(client)` gives, as another user of NATS."""
        nats = library("nats")

        async def connected():
            client = await nats.connect(self.url, user="larder", password=PASSWORD)
            try:
                return await use(client)
            finally:
                await client.close()

        return asyncio.run(connected())

    def make_stream(self):
        self.run(lambda client: client.jetstream().add_stream(name="EVENTS", subjects=["s3.events"]))

    def messages(self):
        """All that the stream has kept, in order."""

        async def read(client):
            jetstream = client.jetstream()
            last = (await jetstream.stream_info("EVENTS")).state.last_seq
            return [json.loads((await jetstream.get_msg("EVENTS", seq)).data) for seq in range(1, last + 1)]

        return self.run(read)

    def records(self):
        return [record for message in self.messages() for record in message.get("Records", [])]


@pytest.fixture
def nats(tmp_path):
    library("nats")
    broker = Nats(tmp_path).start()
    yield broker
    broker.kill()


@pytest.fixture
def larder(tmp_path):
    targets = target_file(tmp_path / "targets.toml")
    with Larder(directory=tmp_path / "server", extra_args=["--notify-targets", str(targets)]) as server:
        server.targets = targets
        boto(server).create_bucket(Bucket="events")
        yield server
    log = server.log_path.read_text()
    assert PASSWORD not in log, "a password is in the log"


def tell(server, **target):
    """A client of a bucket that tells the target, once the server knows it."""
    target_file(server.targets, broker=target)
    s3 = boto(server)

    def told():
        try:
            notify(s3, "events", ("broker", CREATED))
            return True
        except s3.exceptions.ClientError:
            return False

    poll(told, 30, "the target is known")
    return s3


def in_order(records):
    """The sequencers of each key, each once, as they came first."""
    found = {}
    for record in records:
        numbers = found.setdefault(key_of(record), [])
        if record["s3"]["object"]["sequencer"] not in numbers:
            numbers.append(record["s3"]["object"]["sequencer"])
    assert all(numbers == sorted(numbers) for numbers in found.values()), found
    return found


def stream_target(nats):
    return {"type": "nats", "servers": [nats.url], "subject": "s3.events", "user": "larder", "password": PASSWORD}


@pytest.mark.timeout(120)
def test_a_stream_of_nats_keeps_every_event_once_and_in_order(larder, nats):
    nats.make_stream()
    s3 = tell(larder, **stream_target(nats))
    for turn in range(60):
        s3.put_object(Bucket="events", Key=f"k{turn % 4}", Body=b"x" * turn)
    records = poll(lambda: len(found := nats.records()) >= 60 and found, 60, "60 events")
    assert len(records) == 60, "each is kept once"
    assert sum(map(len, in_order(records).values())) == 60
    first = nats.messages()[0]
    assert first["Event"] == "s3:TestEvent" and first["Bucket"] == "events"


@pytest.mark.timeout(180)
def test_nats_is_killed_and_comes_back_and_nothing_is_missing(larder, nats):
    nats.make_stream()
    s3 = tell(larder, **stream_target(nats))
    written = 0
    for _ in range(3):
        nats.kill()
        for _ in range(20):
            s3.put_object(Bucket="events", Key=f"k{written % 4}", Body=b"x" * written)
            written += 1
        nats.start()
        for _ in range(20):
            s3.put_object(Bucket="events", Key=f"k{written % 4}", Body=b"x" * written)
            written += 1
    numbers = poll(lambda: sum(map(len, in_order(nats.records()).values())) >= written, 90, "all events")
    assert numbers


@pytest.mark.timeout(120)
def test_a_stream_that_is_not_there_yet_gets_what_waits(larder, nats):
    s3 = tell(larder, **stream_target(nats))
    s3.put_object(Bucket="events", Key="early", Body=b"")
    poll(lambda: "takes no events" in larder.log_path.read_text(), 60, "it is said that nobody takes events")
    nats.make_stream()
    assert [key_of(record) for record in poll(nats.records, 60, "the event")] == ["early"]


@pytest.mark.timeout(120)
def test_nats_without_streams_tells_who_is_subscribed(larder, nats):
    s3 = tell(larder, **stream_target(nats), jetstream=False)

    async def listen(client):
        heard = asyncio.Queue()

        async def on_message(message):
            await heard.put(json.loads(message.data))

        await client.subscribe("s3.events", cb=on_message)
        await client.flush()
        writer = threading.Thread(target=lambda: [s3.put_object(Bucket="events", Key=f"k{n}", Body=b"") for n in range(10)])
        writer.start()
        keys = set()
        while len(keys) < 10:
            message = await asyncio.wait_for(heard.get(), 30)
            keys.update(key_of(record) for record in message.get("Records", []))
        writer.join()
        return keys

    assert nats.run(listen) == {f"k{n}" for n in range(10)}


class Kafka:
    """A mock cluster of Kafka's C client. A topic that its own clients ask for is made, with four partitions."""

    def __init__(self):
        kafka = library("confluent_kafka")
        self.topic = "s3-events"
        self.holder = kafka.Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock"})
        self.brokers = [f"{broker.host}:{broker.port}" for broker in self.holder.list_topics(timeout=30).brokers.values()]
        self.client = kafka.Producer({"bootstrap.servers": ",".join(self.brokers)})

    def make_topic(self):
        assert len(self.client.list_topics(self.topic, timeout=30).topics[self.topic].partitions) == 4

    def messages(self, count, seconds=60):
        """So many messages from the beginning: partition, key and value of each."""
        kafka = library("confluent_kafka")
        settings = {"bootstrap.servers": ",".join(self.brokers), "group.id": "test", "auto.offset.reset": "earliest"}
        consumer = kafka.Consumer(settings)
        consumer.assign([kafka.TopicPartition(self.topic, n, kafka.OFFSET_BEGINNING) for n in range(4)])
        found = []

        def read():
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append((message.partition(), message.key(), json.loads(message.value())))
            return len(found) >= count

        poll(read, seconds, f"{count} messages of Kafka")
        consumer.close()
        return found


@pytest.mark.timeout(180)
def test_kafka_gets_every_event_and_those_of_a_key_in_one_partition_and_in_order(larder):
    kafka = Kafka()
    kafka.make_topic()
    s3 = tell(larder, type="kafka", brokers=kafka.brokers, topic=kafka.topic)
    for turn in range(40):
        s3.put_object(Bucket="events", Key=f"k{turn % 8}", Body=b"x" * turn)
    messages = kafka.messages(41)
    records = [record for *_, message in messages for record in message.get("Records", [])]
    assert sum(map(len, in_order(records).values())) == 40
    partitions = {}
    for partition, key, message in messages:
        partitions.setdefault(key, set()).add(partition)
        for record in message.get("Records", []):
            assert key.decode() == f"events/{record['s3']['object']['key']}"
    assert all(len(found) == 1 for found in partitions.values()), partitions
    assert len(set.union(*partitions.values())) > 1, "keys are spread"


@pytest.mark.timeout(180)
def test_a_topic_that_is_not_there_yet_gets_what_waits(larder):
    kafka = Kafka()
    s3 = tell(larder, type="kafka", brokers=kafka.brokers, topic=kafka.topic)
    s3.put_object(Bucket="events", Key="early", Body=b"")
    poll(lambda: "takes no events" in larder.log_path.read_text(), 60, "it is said that nobody takes events")
    kafka.make_topic()
    [record] = [record for *_, message in kafka.messages(2) for record in message.get("Records", [])]
    assert key_of(record) == "early"
