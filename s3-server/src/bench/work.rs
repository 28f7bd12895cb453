//! What one client does, again and again: the loads' operations.

use std::sync::Arc;

use super::{
    client::{Check, Client, ListQuery, OpError, PartOf},
    payload::{Payloads, next_random},
};

/// Objects of one directory of the listings.
pub(super) const DIRECTORY_OBJECTS: u64 = 1_000;

/// Objects that were put before the clock started.
#[derive(Debug)]
pub struct Stock {
    /// What all keys begin with.
    pub prefix: String,
    /// The objects' bodies: object `i` has body `i`.
    pub payloads: Arc<Payloads>,
    /// How many objects there are.
    pub count: u64,
    /// Whether keys have directories of [`DIRECTORY_OBJECTS`].
    pub in_directories: bool,
}

impl Stock {
    /// The key of object number `index`.
    pub fn key(&self, index: u64) -> String {
        let prefix = &self.prefix;
        if self.in_directories {
            let (directory, file) = (index / DIRECTORY_OBJECTS, index % DIRECTORY_OBJECTS);
            format!("{prefix}d{directory:04}/{file:04}")
        } else {
            format!("{prefix}{index:08}")
        }
    }
}

/// What the clients of a load do.
#[derive(Debug, Clone)]
pub enum Task {
    /// Puts objects under new keys.
    Put {
        /// What the keys begin with.
        prefix: String,
        /// Their bodies.
        payloads: Arc<Payloads>,
    },
    /// Puts the objects of a stock.
    Fill(Arc<Stock>),
    /// Gets random objects.
    Get(Arc<Stock>, Check),
    /// Gets this many bytes at random places of random objects.
    Range(Arc<Stock>, u64, Check),
    /// Asks for the heads of random objects.
    Head(Arc<Stock>),
    /// Lists the stock page by page, over and over.
    List(Arc<Stock>),
    /// Lists the directories of the stock.
    ListDelimiter(Arc<Stock>),
    /// Deletes each object of the stock once.
    Delete(Arc<Stock>),
    /// Uploads in parts.
    Multipart {
        /// What the keys begin with.
        prefix: String,
        /// Bodies of all parts but the last.
        parts: Arc<Payloads>,
        /// How many of those there are.
        whole_parts: u64,
        /// Body of the last part, where it is shorter.
        last_part: Option<Arc<Payloads>>,
    },
    /// Gets, puts, heads and deletes.
    Mixed {
        /// What is read.
        stock: Arc<Stock>,
        /// What the keys of new objects begin with.
        prefix: String,
        /// How reads are checked.
        check: Check,
    },
}

impl Task {
    /// How many operations there can be at most.
    pub fn bound(&self) -> u64 {
        match self {
            Self::Fill(stock) | Self::Delete(stock) => stock.count,
            _ => u64::MAX,
        }
    }
}

/// What an operation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes of object data sent or received.
    pub bytes: u64,
    /// Keys or common prefixes listed.
    pub keys: u64,
}

impl Done {
    fn bytes(bytes: usize) -> Self {
        Self {
            bytes: bytes as u64,
            keys: 0,
        }
    }
}

/// One client of a load.
#[derive(Debug)]
pub struct Worker {
    client: Client,
    task: Arc<Task>,
    random: u64,
    /// Objects that this client put itself and may delete.
    own_keys: Vec<String>,
    /// Where the walk through a listing is.
    token: Option<String>,
    walked_keys: u64,
}

impl Worker {
    /// Client number `number`.
    pub fn new(client: Client, task: Arc<Task>, number: u64) -> Self {
        // Any non-zero seed will do; the multiplication keeps neighbours apart.
        let random = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            client,
            task,
            random,
            own_keys: Vec::new(),
            token: None,
            walked_keys: 0,
        }
    }

    /// Does operation number `index` (unique among the clients of a load).
    ///
    /// # Errors
    /// [`OpError`]: the operation failed; the worker may go on with the next.
    pub async fn step(&mut self, index: u64) -> Result<Done, OpError> {
        match &*Arc::clone(&self.task) {
            Task::Put { prefix, payloads } => {
                self.put(&format!("{prefix}{index:08}"), payloads, index)
                    .await
            }
            Task::Fill(stock) => self.put(&stock.key(index), &stock.payloads, index).await,
            Task::Get(stock, check) => self.get(stock, *check).await,
            Task::Range(stock, bytes, check) => self.range(stock, *bytes, *check).await,
            Task::Head(stock) => self.head(stock).await,
            Task::List(stock) => self.list(stock).await,
            Task::ListDelimiter(stock) => self.list_directories(stock).await,
            Task::Delete(stock) => self
                .client
                .delete(&stock.key(index))
                .await
                .map(|()| Done::default()),
            Task::Multipart {
                prefix,
                parts,
                whole_parts,
                last_part,
            } => {
                let key = format!("{prefix}{index:08}");
                let all = (0..*whole_parts).map(|_| parts).chain(last_part);
                self.upload(&key, all.map(AsRef::as_ref).collect(), index)
                    .await
            }
            Task::Mixed {
                stock,
                prefix,
                check,
            } => self.mixed(stock, prefix, *check, index).await,
        }
    }

    async fn put(&mut self, key: &str, payloads: &Payloads, index: u64) -> Result<Done, OpError> {
        self.client.put(key, payloads, index, None).await?;
        Ok(Done::bytes(payloads.length()))
    }

    async fn get(&mut self, stock: &Stock, check: Check) -> Result<Done, OpError> {
        let index = self.below(stock.count);
        let expected = stock.payloads.bytes(index);
        self.client
            .get(&stock.key(index), None, expected, check)
            .await?;
        Ok(Done::bytes(expected.len()))
    }

    async fn range(&mut self, stock: &Stock, bytes: u64, check: Check) -> Result<Done, OpError> {
        let index = self.below(stock.count);
        let whole = stock.payloads.bytes(index);
        let first = self.below(whole.len() as u64 - bytes + 1);
        let expected = slice(whole, first, bytes);
        let range = Some((first, first + bytes - 1));
        self.client
            .get(&stock.key(index), range, expected, check)
            .await?;
        Ok(Done::bytes(expected.len()))
    }

    async fn head(&mut self, stock: &Stock) -> Result<Done, OpError> {
        let index = self.below(stock.count);
        self.client
            .head(&stock.key(index), stock.payloads.length() as u64)
            .await?;
        Ok(Done::default())
    }

    /// Reads the next page; at the end of each walk, compares the number of keys.
    async fn list(&mut self, stock: &Stock) -> Result<Done, OpError> {
        let token = self.token.take();
        let walked = if token.is_some() {
            std::mem::take(&mut self.walked_keys)
        } else {
            0
        };
        let query = ListQuery {
            prefix: &stock.prefix,
            delimited: false,
            token: token.as_deref(),
        };
        let page = self.client.list(&query).await?;
        let walked = walked + page.keys_count;
        self.token = page.next_token;
        if self.token.is_some() {
            self.walked_keys = walked;
        } else {
            expect_count("keys", stock.count, walked)?;
        }
        Ok(Done {
            bytes: 0,
            keys: page.keys_count,
        })
    }

    async fn list_directories(&mut self, stock: &Stock) -> Result<Done, OpError> {
        let query = ListQuery {
            prefix: &stock.prefix,
            delimited: true,
            token: None,
        };
        let page = self.client.list(&query).await?;
        expect_count("keys", 0, page.keys_count)?;
        let directories = stock.count.div_ceil(DIRECTORY_OBJECTS);
        expect_count("common prefixes", directories, page.prefixes_count)?;
        Ok(Done {
            bytes: 0,
            keys: page.prefixes_count,
        })
    }

    async fn upload(
        &mut self,
        key: &str,
        parts: Vec<&Payloads>,
        index: u64,
    ) -> Result<Done, OpError> {
        let upload_id = self.client.create_upload(key).await?;
        let result = self.upload_parts(key, &upload_id, &parts, index).await;
        if result.is_err() {
            // The first error is the one to report; a failed abort only leaves more to clean.
            drop(self.client.abort_upload(key, &upload_id).await);
        }
        result
    }

    async fn upload_parts(
        &mut self,
        key: &str,
        upload_id: &str,
        parts: &[&Payloads],
        index: u64,
    ) -> Result<Done, OpError> {
        let mut etags = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for (part_number, payloads) in (1_u64..).zip(parts) {
            let part = Some(PartOf {
                upload_id,
                part_number,
            });
            etags.push(
                self.client
                    .put(key, payloads, index + part_number, part)
                    .await?,
            );
            bytes += payloads.length();
        }
        self.client.complete_upload(key, upload_id, &etags).await?;
        Ok(Done::bytes(bytes))
    }

    async fn mixed(
        &mut self,
        stock: &Stock,
        prefix: &str,
        check: Check,
        index: u64,
    ) -> Result<Done, OpError> {
        match self.below(100) {
            0..60 => self.get(stock, check).await,
            60..70 => self.head(stock).await,
            70..75 if let Some(key) = self.own_keys.pop() => {
                self.client.delete(&key).await.map(|()| Done::default())
            }
            _ => {
                let key = format!("{prefix}{index:08}");
                let done = self.put(&key, &stock.payloads, index).await?;
                self.own_keys.push(key);
                Ok(done)
            }
        }
    }

    /// A random number below `bound`, which is not zero.
    fn below(&mut self, bound: u64) -> u64 {
        next_random(&mut self.random) % bound.max(1)
    }
}

fn slice(whole: &[u8], first: u64, bytes: u64) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    &whole[at(first)..at(first + bytes)]
}

fn expect_count(what: &str, expected: u64, got: u64) -> Result<(), OpError> {
    if got == expected {
        return Ok(());
    }
    let what = format!("expected {expected} {what}, got {got}");
    Err(OpError::Wrong {
        operation: "ListObjectsV2",
        what,
    })
}
