//! Kafka: an event is a record of a topic, its key `bucket/key`. It has arrived once all replicas that are in sync have it.
//!
//! The partition of a key is the one that Kafka's own clients choose, so that the events of a key stay in order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use larder_storage::clock::Clock;
use rskafka::{
    BackoffConfig,
    chrono::DateTime,
    client::{
        Client, ClientBuilder, Credentials, SaslConfig,
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use tokio::sync::Mutex;

use super::{Messenger, SendError, tls};
use crate::notify::{
    letter::Letter,
    targets::{KafkaSettings, Sasl},
};

/// How long the client tries by itself before it is the courier's turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// A topic of Kafka.
#[derive(Debug)]
pub(super) struct Kafka {
    settings: KafkaSettings,
    clock: Arc<dyn Clock>,
    topic: Mutex<Option<Arc<Topic>>>,
}

/// What is known of the topic; forgotten after any failure.
#[derive(Debug)]
struct Topic {
    client: Client,
    partitions: Vec<i32>,
    clients: Mutex<HashMap<i32, Arc<PartitionClient>>>,
}

impl Kafka {
    /// Nothing is connected yet.
    pub(super) fn new(settings: KafkaSettings, clock: &Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock: Arc::clone(clock),
            topic: Mutex::default(),
        }
    }

    async fn topic(&self) -> Result<Arc<Topic>, SendError> {
        let mut topic = self.topic.lock().await;
        if let Some(topic) = &*topic {
            return Ok(Arc::clone(topic));
        }
        let found = Arc::new(self.find().await?);
        Ok(Arc::clone(topic.insert(found)))
    }

    async fn find(&self) -> Result<Topic, SendError> {
        let client = self.connect().await?;
        let topics = client.list_topics().await.map_err(failed)?;
        let mut topics = topics.into_iter();
        let topic = topics.find(|topic| topic.name == self.settings.topic);
        let partitions: Vec<i32> = topic
            .map(|topic| topic.partitions.into_iter().collect())
            .unwrap_or_default();
        if partitions.is_empty() {
            return Err(SendError::Unreachable(format!(
                "there is no topic {}",
                self.settings.topic
            )));
        }
        Ok(Topic {
            client,
            partitions,
            clients: Mutex::default(),
        })
    }

    async fn connect(&self) -> Result<Client, SendError> {
        let settings = &self.settings;
        let mut builder = ClientBuilder::new(settings.brokers.clone())
            .client_id("larder")
            .backoff_config(BackoffConfig {
                deadline: Some(PATIENCE),
                ..BackoffConfig::default()
            });
        if settings.tls {
            let config = tls(settings.ca_file.clone()).await?;
            builder = builder.tls_config(Arc::new(config));
        }
        if let Some((sasl, user, password)) = &settings.sasl {
            let login = Credentials::new(user.clone(), password.text().to_owned());
            builder = builder.sasl_config(match sasl {
                Sasl::Plain => SaslConfig::Plain(login),
                Sasl::ScramSha256 => SaslConfig::ScramSha256(login),
                Sasl::ScramSha512 => SaslConfig::ScramSha512(login),
            });
        }
        builder.build().await.map_err(failed)
    }

    async fn produce(&self, letter: &Letter) -> Result<(), SendError> {
        let topic = self.topic().await?;
        let key = letter.about.as_bytes();
        let client = topic.client_of(key, &self.settings.topic).await?;
        let now = i64::try_from(self.clock.unix_millis()).unwrap_or(i64::MAX);
        let record = Record {
            key: Some(key.to_vec()),
            value: Some(letter.content.to_vec()),
            headers: BTreeMap::new(),
            timestamp: DateTime::from_timestamp_millis(now).unwrap_or_default(),
        };
        let produced = client.produce(vec![record], Compression::NoCompression);
        produced.await.map(drop).map_err(failed)
    }
}

impl Topic {
    /// What writes to the partition of a key.
    async fn client_of(&self, key: &[u8], topic: &str) -> Result<Arc<PartitionClient>, SendError> {
        let partition = partition(key, &self.partitions);
        let mut clients = self.clients.lock().await;
        if let Some(known) = clients.get(&partition) {
            return Ok(Arc::clone(known));
        }
        let unknown = UnknownTopicHandling::Error;
        let client = self.client.partition_client(topic, partition, unknown);
        let client = Arc::new(client.await.map_err(failed)?);
        clients.insert(partition, Arc::clone(&client));
        Ok(client)
    }
}

#[async_trait]
impl Messenger for Kafka {
    async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let produced = self.produce(letter).await;
        if produced.is_err() {
            // Brokers and partitions may be others now.
            *self.topic.lock().await = None;
        }
        produced
    }
}

fn failed(error: rskafka::client::error::Error) -> SendError {
    match error {
        // Its words show the whole request.
        rskafka::client::error::Error::ServerError { protocol_error, .. } => {
            SendError::Refused(protocol_error.to_string())
        }
        error => SendError::Unreachable(error.to_string()),
    }
}

/// The one of `partitions` that Kafka's own clients choose for a key.
fn partition(key: &[u8], partitions: &[i32]) -> i32 {
    let hash = murmur2(key) & 0x7fff_ffff;
    let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX).max(1);
    let at = usize::try_from(hash % count).unwrap_or(0);
    partitions.get(at).copied().unwrap_or(0)
}

/// Murmur 2 of 32 bits, with Kafka's seed.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Kafka's own client.
    #[test]
    fn keys_are_hashed_as_kafka_does() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn each_key_has_a_partition() {
        let partitions = [0, 1, 2];
        for n in 0..100 {
            let key = format!("bucket/{n}");
            assert!(partitions.contains(&partition(key.as_bytes(), &partitions)));
        }
        assert_eq!(partition(b"x", &[7]), 7);
    }
}
