//! What is checked: one history per key, and whether some order of its operations explains every answer.
//!
//! The states that a key may be in are followed as operations begin and end ("just-in-time linearization", G. Lowe, *Testing for
//! linearizability*, 2017): a configuration is a state with the writes under way that have taken effect in it already, and what
//! each read under way may have seen. When an operation ends, only configurations live on in which it took effect with the
//! answer that was given. When none does, the store has broken its word.
//!
//! An operation whose outcome is unknown (an answer "unavailable", or the life ended) may take effect at any time until the next
//! recovery, which decides for good.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use larder_storage::objects::ETag;

use crate::content::Body;

/// An object. Two are equal if clients can't tell them apart: all empty bodies have one entity tag.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its entity tag, as bytes and parts.
    pub etag: ([u8; 16], u16),
    /// Number of its tag set.
    pub tags: u32,
    /// What its bytes are made of.
    pub bodies: Rc<[Body]>,
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.etag, self.tags).cmp(&(other.etag, other.tags))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl Version {
    /// An object of these bodies, one after the other.
    pub fn new(etag: ETag, bodies: &[Body]) -> Self {
        Self {
            etag: (etag.md5, etag.parts),
            tags: 0,
            bodies: bodies.into(),
        }
    }

    /// Its entity tag.
    pub fn etag(&self) -> ETag {
        ETag {
            md5: self.etag.0,
            parts: self.etag.1,
        }
    }
}

/// What a key is: an object or nothing.
pub type State = Option<Version>;

/// A condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None.
    Always,
    /// There must be no object.
    Absent,
    /// The object must have this entity tag.
    Tag(ETag),
}

/// What a client asks of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Put this in place.
    Put(Version, Condition),
    /// Remove what is there.
    Delete(Condition),
    /// Replace its tag set.
    SetTags(u32),
    /// Look at it.
    Get,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The write was done.
    Done,
    /// A condition did not hold.
    PreconditionFailed,
    /// There is no object.
    NoSuchKey,
    /// The object; for [`Operation::Get`].
    Found(Version),
    /// The entity tag alone, from a listing; for [`Operation::Get`].
    Listed(ETag),
}

/// The number of an operation.
pub type OperationId = u64;

/// One way in which things may have happened so far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    /// The state now, as a number of [`KeyHistory::states`].
    state: usize,
    /// Writes under way that took effect, with what their answer must be.
    effects: BTreeMap<OperationId, Effect>,
    /// Writes of unknown outcome that took effect.
    used: BTreeSet<OperationId>,
    /// What each read under way may have seen so far.
    seen: BTreeMap<OperationId, BTreeSet<usize>>,
}

/// How a write took effect: decides which answers fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Done,
    PreconditionFailed,
    NoSuchKey,
}

/// One key's history.
#[derive(Debug)]
struct KeyHistory {
    configurations: BTreeSet<Configuration>,
    /// Writes that may still take effect: under way, or of unknown outcome.
    writes: BTreeMap<OperationId, Operation>,
    unknown: BTreeSet<OperationId>,
    /// Every state since the last recovery, so that configurations hold numbers.
    states: Vec<State>,
    log: Vec<String>,
}

/// The histories of all keys.
#[derive(Debug)]
pub struct History {
    keys: BTreeMap<String, KeyHistory>,
    next: OperationId,
    /// Operations answered so far.
    pub answered: u64,
}

/// Configurations that are followed exactly.
const MAX_EXACT: usize = 500;
/// Lines of a key's log that a failure shows.
const SHOWN: usize = 40;

impl Operation {
    /// Takes effect on `state`.
    fn apply(&self, state: &State) -> (State, Effect) {
        let refused = |condition: &Condition| match (condition, state) {
            (Condition::Absent, Some(_)) => Some(Effect::PreconditionFailed),
            (Condition::Tag(_), None) => Some(Effect::NoSuchKey),
            (Condition::Tag(tag), Some(found)) if found.etag() != *tag => {
                Some(Effect::PreconditionFailed)
            }
            _ => None,
        };
        let (condition, after) = match self {
            Self::Put(version, condition) => (condition, Some(version.clone())),
            Self::Delete(condition) => (condition, None),
            Self::SetTags(tags) => {
                let tagged = state.clone().map(|version| Version {
                    tags: *tags,
                    ..version
                });
                let effect = tagged.as_ref().map_or(Effect::NoSuchKey, |_| Effect::Done);
                return (tagged, effect);
            }
            Self::Get => (&Condition::Always, state.clone()),
        };
        match refused(condition) {
            Some(effect) => (state.clone(), effect),
            None => (after, Effect::Done),
        }
    }
}

impl Effect {
    fn fits(self, answer: &Answer) -> bool {
        matches!(
            (self, answer),
            (Self::Done, Answer::Done)
                | (Self::PreconditionFailed, Answer::PreconditionFailed)
                | (Self::NoSuchKey, Answer::NoSuchKey)
        )
    }
}

fn is_seen(state: &State, answer: &Answer) -> bool {
    match (state, answer) {
        (None, Answer::NoSuchKey) => true,
        (Some(version), Answer::Found(found)) => version == found,
        (Some(version), Answer::Listed(etag)) => version.etag() == *etag,
        _ => false,
    }
}

impl Configuration {
    fn of(state: usize) -> Self {
        Self {
            state,
            effects: BTreeMap::new(),
            used: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Whether everything that can follow `other` can follow `self`: it has used up fewer writes that need not have
    /// happened, and its reads may have seen more.
    fn covers(&self, other: &Self) -> bool {
        self.state == other.state
            && self.effects == other.effects
            && self.used.is_subset(&other.used)
            && other.seen.iter().all(|(id, seen)| {
                let mine = self.seen.get(id);
                mine.is_some_and(|mine| seen.is_subset(mine))
            })
    }
}

impl KeyHistory {
    fn new() -> Self {
        Self {
            configurations: BTreeSet::from([Configuration::of(0)]),
            writes: BTreeMap::new(),
            unknown: BTreeSet::new(),
            states: vec![None],
            log: Vec::new(),
        }
    }

    fn begin(&mut self, id: OperationId, operation: Operation) {
        if operation != Operation::Get {
            self.writes.insert(id, operation);
            return;
        }
        let configurations = std::mem::take(&mut self.configurations).into_iter();
        let look = |mut configuration: Configuration| {
            let now = BTreeSet::from([configuration.state]);
            configuration.seen.insert(id, now);
            configuration
        };
        self.configurations = configurations.map(look).collect();
    }

    fn number_of(&mut self, state: State) -> usize {
        if let Some(number) = self.states.iter().rposition(|known| *known == state) {
            return number;
        }
        self.states.push(state);
        self.states.len() - 1
    }

    /// What becomes of `configuration` when a write takes effect in it; `None` if it has already, or if it is of unknown
    /// outcome and would change nothing.
    fn after(&mut self, configuration: &Configuration, id: OperationId) -> Option<Configuration> {
        if configuration.effects.contains_key(&id) || configuration.used.contains(&id) {
            return None;
        }
        let (state, effect) = self
            .writes
            .get(&id)?
            .apply(&self.states[configuration.state]);
        let state = self.number_of(state);
        let mut next = configuration.clone();
        if self.unknown.contains(&id) {
            if state == configuration.state {
                return None;
            }
            next.used.insert(id);
        } else {
            next.effects.insert(id, effect);
        }
        next.state = state;
        for seen in next.seen.values_mut() {
            seen.insert(state);
        }
        Some(next)
    }

    /// Every configuration that writes under way can lead to from the present ones. Where these are too many to follow, what
    /// reads may have seen in one order is taken for possible in all: that lets more pass, and never blames wrongly.
    fn reachable(&mut self) -> BTreeSet<Configuration> {
        let writes: Vec<OperationId> = self.writes.keys().copied().collect();
        let mut found = BTreeSet::new();
        let mut waiting: Vec<_> = self.configurations.iter().cloned().collect();
        while let Some(configuration) = waiting.pop() {
            if found.contains(&configuration) {
                continue;
            }
            if found.len() >= MAX_EXACT {
                return self.reachable_merged(&writes);
            }
            waiting.extend(
                writes
                    .iter()
                    .filter_map(|id| self.after(&configuration, *id)),
            );
            found.insert(configuration);
        }
        found
    }

    fn reachable_merged(&mut self, writes: &[OperationId]) -> BTreeSet<Configuration> {
        let mut found: BTreeMap<_, BTreeMap<OperationId, BTreeSet<usize>>> = BTreeMap::new();
        let mut waiting: Vec<_> = self.configurations.iter().cloned().collect();
        while let Some(mut configuration) = waiting.pop() {
            let seen = std::mem::take(&mut configuration.seen);
            let known = found.get(&configuration);
            let is_new = known.is_none_or(|known| {
                let is_known = |(id, states): (&OperationId, &BTreeSet<usize>)| {
                    known.get(id).is_some_and(|known| states.is_subset(known))
                };
                !seen.iter().all(is_known)
            });
            if !is_new {
                continue;
            }
            let merged = found.entry(configuration.clone()).or_default();
            for (id, states) in seen {
                merged.entry(id).or_default().extend(states);
            }
            configuration.seen = merged.clone();
            waiting.extend(
                writes
                    .iter()
                    .filter_map(|id| self.after(&configuration, *id)),
            );
        }
        let whole = found.into_iter();
        whole
            .map(|(configuration, seen)| Configuration {
                seen,
                ..configuration
            })
            .collect()
    }

    fn end(&mut self, id: OperationId, answer: &Answer) -> bool {
        let is_write = self.writes.contains_key(&id);
        let mut left = Vec::new();
        for mut configuration in self.reachable() {
            let fits = if is_write {
                let effect = configuration.effects.remove(&id);
                effect.is_some_and(|effect| effect.fits(answer))
            } else {
                let seen = configuration.seen.remove(&id).unwrap_or_default();
                seen.iter()
                    .any(|state| is_seen(&self.states[*state], answer))
            };
            if fits {
                left.push(configuration);
            }
        }
        self.writes.remove(&id);
        self.keep(left);
        !self.configurations.is_empty()
    }

    /// Keeps those that no other covers.
    fn keep(&mut self, configurations: Vec<Configuration>) {
        let mut kept: Vec<Configuration> = Vec::new();
        for configuration in configurations {
            if kept.iter().any(|other| other.covers(&configuration)) {
                continue;
            }
            kept.retain(|other| !configuration.covers(other));
            kept.push(configuration);
        }
        self.configurations = kept.into_iter().collect();
    }

    /// The operation certainly had no effect.
    fn cancel(&mut self, id: OperationId) {
        self.writes.remove(&id);
        self.configurations
            .retain(|configuration| !configuration.effects.contains_key(&id));
    }

    /// From now on the operation may take effect or not.
    fn unknown(&mut self, id: OperationId) {
        self.unknown.insert(id);
        let configurations = std::mem::take(&mut self.configurations).into_iter();
        let forget = |mut configuration: Configuration| {
            if configuration.effects.remove(&id) == Some(Effect::Done) {
                configuration.used.insert(id);
            }
            configuration
        };
        let configurations = configurations.map(forget).collect();
        self.keep(configurations);
    }

    fn settle(&mut self, seen: &State) -> bool {
        self.abandon();
        let reachable = self.reachable();
        let mut states = reachable.iter().map(|c| &self.states[c.state]);
        let possible = states.any(|state| state == seen);
        self.writes.clear();
        self.unknown.clear();
        self.states = vec![seen.clone()];
        self.configurations = BTreeSet::from([Configuration::of(0)]);
        possible
    }

    /// The life is over: nobody waits for an answer any more.
    fn abandon(&mut self) {
        for id in self.writes.keys().copied().collect::<Vec<_>>() {
            self.unknown(id);
        }
        let configurations = std::mem::take(&mut self.configurations).into_iter();
        let forget = |mut configuration: Configuration| {
            configuration.seen.clear();
            configuration
        };
        let configurations = configurations.map(forget).collect();
        self.keep(configurations);
    }

    fn explain(&self) -> String {
        let from = self.log.len().saturating_sub(SHOWN);
        self.log[from..].join("\n  ")
    }
}

impl History {
    /// The history of a bucket that is empty.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        let keys = keys
            .into_iter()
            .map(|key| (key.to_owned(), KeyHistory::new()));
        Self {
            keys: keys.collect(),
            next: 1,
            answered: 0,
        }
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// An operation on `key` begins.
    pub fn begin(&mut self, key: &str, operation: Operation) -> OperationId {
        let id = self.next;
        self.next += 1;
        if let Some(history) = self.keys.get_mut(key) {
            history
                .log
                .push(format!("{id} begins: {}", brief(&operation)));
            history.begin(id, operation);
        }
        id
    }

    /// An operation ends with this answer.
    ///
    /// # Errors
    /// No order of the operations explains the answer; with the end of the key's log.
    pub fn end(&mut self, key: &str, id: OperationId, answer: &Answer) -> Result<(), String> {
        self.answered += 1;
        let Some(history) = self.keys.get_mut(key) else {
            return Err(format!("{key:?} is no key of this world"));
        };
        history
            .log
            .push(format!("{id} ends: {}", brief_answer(answer)));
        if history.end(id, answer) {
            return Ok(());
        }
        let log = history.explain();
        Err(format!(
            "key {key:?}: no order of its operations explains the last answer:\n  {log}"
        ))
    }

    /// Nobody knows whether the operation took or will take effect.
    pub fn unknown(&mut self, key: &str, id: OperationId, why: &str) {
        if let Some(history) = self.keys.get_mut(key) {
            history.log.push(format!("{id} unknown: {why}"));
            history.unknown(id);
        }
    }

    /// The operation was refused without effect.
    pub fn cancel(&mut self, key: &str, id: OperationId, why: &str) {
        if let Some(history) = self.keys.get_mut(key) {
            history.log.push(format!("{id} refused: {why}"));
            history.cancel(id);
        }
    }

    /// After a recovery: `key` is `seen`, and what was unknown is decided.
    ///
    /// # Errors
    /// It can't be, after what was acknowledged.
    pub fn settle(&mut self, key: &str, seen: &State) -> Result<(), String> {
        let Some(history) = self.keys.get_mut(key) else {
            return Err(format!("{key:?} is no key of this world"));
        };
        history
            .log
            .push(format!("found after opening: {}", brief_state(seen)));
        if history.settle(seen) {
            return Ok(());
        }
        let log = history.explain();
        Err(format!(
            "key {key:?}: what is found after opening can't be:\n  {log}"
        ))
    }

    /// What the key is, where no operation is under way.
    pub fn state(&self, key: &str) -> Option<State> {
        let history = self.keys.get(key)?;
        let mut states = history.configurations.iter().map(|c| c.state);
        let first = states.next()?;
        let is_sure = history.writes.is_empty() && states.all(|state| state == first);
        is_sure.then(|| history.states[first].clone())
    }
}

fn brief(operation: &Operation) -> String {
    match operation {
        Operation::Put(version, condition) => {
            format!("put {} {condition:?}", brief_version(version))
        }
        other => format!("{other:?}"),
    }
}

fn brief_answer(answer: &Answer) -> String {
    match answer {
        Answer::Found(version) => format!("found {}", brief_version(version)),
        Answer::Listed(etag) => format!("listed {etag}"),
        other => format!("{other:?}"),
    }
}

fn brief_state(state: &State) -> String {
    state.as_ref().map_or("nothing".to_owned(), brief_version)
}

fn brief_version(version: &Version) -> String {
    let bytes: usize = version.bodies.iter().map(|body| body.size()).sum();
    format!("{} ({bytes} bytes, tags {})", version.etag(), version.tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Body, etag};

    fn version(number: u64) -> Version {
        let body = Body { number };
        Version::new(etag(&body.bytes()), &[body])
    }

    fn put(number: u64) -> Operation {
        Operation::Put(version(number), Condition::Always)
    }

    #[test]
    fn concurrent_writes_may_land_in_any_order_but_reads_must_agree() {
        let mut history = History::new(["k"]);
        let (a, b) = (history.begin("k", put(1)), history.begin("k", put(2)));
        history.end("k", a, &Answer::Done).unwrap();
        history.end("k", b, &Answer::Done).unwrap();
        let get = history.begin("k", Operation::Get);
        history.end("k", get, &Answer::Found(version(1))).unwrap();
        let get = history.begin("k", Operation::Get);
        let error = history
            .end("k", get, &Answer::Found(version(2)))
            .unwrap_err();
        assert!(error.contains("no order"), "{error}");
    }

    #[test]
    fn an_acknowledged_write_must_be_found() {
        let mut history = History::new(["k"]);
        let id = history.begin("k", put(1));
        history.end("k", id, &Answer::Done).unwrap();
        assert!(history.settle("k", &None).is_err());
    }

    #[test]
    fn a_write_of_unknown_outcome_is_there_or_not_and_stays_so() {
        for found in [None, Some(version(1))] {
            let mut history = History::new(["k"]);
            let id = history.begin("k", put(1));
            history.unknown("k", id, "power cut");
            history.settle("k", &found).unwrap();
            let get = history.begin("k", Operation::Get);
            let other = if found.is_none() {
                Answer::Found(version(1))
            } else {
                Answer::NoSuchKey
            };
            assert!(history.end("k", get, &other).is_err());
        }
    }

    #[test]
    fn of_two_conditional_creations_one_wins() {
        let mut history = History::new(["k"]);
        let create = |n| Operation::Put(version(n), Condition::Absent);
        let (a, b) = (history.begin("k", create(1)), history.begin("k", create(2)));
        history.end("k", a, &Answer::Done).unwrap();
        assert!(history.end("k", b, &Answer::Done).is_err());
    }

    #[test]
    fn a_refused_write_leaves_nothing() {
        let mut history = History::new(["k"]);
        let id = history.begin("k", put(1));
        history.cancel("k", id, "too many disks are out");
        assert!(history.settle("k", &Some(version(1))).is_err());
    }
}
