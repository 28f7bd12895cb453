//! Events on the objects of users, with cause and cure.
//!
//! kube's `Recorder` counts repeats by reason and keeps the first text for all of them, which would show yesterday's cause for today's. So each text has a recorder
//! of its own; and the same text is said at most once in a while, however often an object is tried.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{controllers::failure::Complaint, kube::MANAGER};

/// The same text about the same object is not said again before this.
const QUIET: Duration = Duration::from_mins(1);
/// So many texts are remembered before those that have not been said lately are forgotten.
const ROOM: usize = 2048;
/// Recorders forget after six minutes: a text that has not been said for longer starts a new event.
const FORGOTTEN: Duration = Duration::from_mins(6);
/// What the API takes for a note, in bytes.
const NOTE_BYTES: usize = 1024;

type Said = (Option<String>, Complaint);

/// Publishes events.
pub(crate) struct Events {
    client: Client,
    instance: String,
    said: Mutex<HashMap<Said, (Arc<Recorder>, Instant)>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) fn new(client: Client, instance: String) -> Self {
        Self {
            client,
            instance,
            said: Mutex::default(),
        }
    }

    /// Tells whoever looks at the object. That this fails stops nothing: it is logged.
    pub(crate) async fn tell(&self, about: &ObjectReference, complaint: &Complaint) {
        let Some(recorder) = self.recorder((about.uid.clone(), complaint.clone())) else {
            return;
        };
        let event = Event {
            type_: if complaint.wrong {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: complaint.reason.to_owned(),
            note: Some(cut(&complaint.note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, about).await {
            tracing::warn!(%error, reason = complaint.reason, "an event could not be published");
        }
    }

    /// Says that something was done.
    pub(crate) async fn done(&self, about: &ObjectReference, reason: &'static str, note: String) {
        let complaint = Complaint {
            reason,
            note,
            wrong: false,
        };
        self.tell(about, &complaint).await;
    }

    /// The recorder of a text; none where it was said just now.
    fn recorder(&self, text: Said) -> Option<Arc<Recorder>> {
        let now = Instant::now();
        let mut said = self.said.lock();
        if said.len() > ROOM {
            said.retain(|_, (_, last)| now.duration_since(*last) < FORGOTTEN);
        }
        if let Some((recorder, last)) = said.get_mut(&text) {
            let quiet = now.duration_since(*last) < QUIET;
            return (!quiet).then(|| {
                *last = now;
                Arc::clone(recorder)
            });
        }
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(self.instance.clone()),
        };
        let recorder = Arc::new(Recorder::new(self.client.clone(), reporter));
        said.insert(text, (Arc::clone(&recorder), now));
        Some(recorder)
    }
}

fn cut(note: &str) -> String {
    let mut end = note.len().min(NOTE_BYTES);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_fit_and_stay_text() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(600);
        let cut = cut(&long);
        assert!(cut.len() <= NOTE_BYTES && cut.chars().all(|c| c == 'ä'));
    }
}
