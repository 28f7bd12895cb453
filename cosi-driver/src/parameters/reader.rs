//! Reads parameters by their table.

use super::{nearest::nearest, table::Key};
use crate::provision::{Parameters, ProvisionError};

/// Parameters of one class.
pub(super) struct Reader<'a> {
    class: &'static str,
    keys: &'static [Key],
    parameters: &'a Parameters,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// [`ProvisionError::Invalid`] for a key that is not in the table.
    pub(super) fn new(
        class: &'static str,
        keys: &'static [Key],
        parameters: &'a Parameters,
    ) -> Result<Self, ProvisionError> {
        let is_known = |name: &str| keys.iter().any(|key| key.name == name);
        match parameters.keys().find(|name| !is_known(name)) {
            None => Ok(Self {
                class,
                keys,
                parameters,
            }),
            Some(unknown) => Err(unknown_key(class, keys, unknown)),
        }
    }

    /// A value, read by `read`; `None` where it is left out.
    ///
    /// # Errors
    /// [`ProvisionError::Invalid`] where `read` finds nothing in it.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ProvisionError> {
        let Some(value) = self.parameters.get(name) else {
            return Ok(None);
        };
        let found = read(value.trim());
        found.map(Some).ok_or_else(|| self.wrong(name, value))
    }

    fn wrong(&self, name: &str, value: &str) -> ProvisionError {
        let class = self.class;
        let allowed = self.keys.iter().find(|key| key.name == name);
        let allowed = allowed.map_or("", |key| key.values);
        ProvisionError::Invalid(format!(
            "parameter {name} of the {class} can't be {}; allowed: {allowed}",
            quoted(value)
        ))
    }

    /// A combination that makes no sense.
    pub(super) fn refused(&self, why: &str) -> ProvisionError {
        ProvisionError::Invalid(format!("parameters of the {}: {why}", self.class))
    }
}

fn unknown_key(class: &str, keys: &'static [Key], unknown: &str) -> ProvisionError {
    let names = || keys.iter().map(|key| key.name);
    let unknown_text = quoted(unknown);
    let hint = match nearest(unknown, names()) {
        Some(known) => format!("did you mean {known}?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    ProvisionError::Invalid(format!("a {class} has no parameter {unknown_text}: {hint}"))
}

/// As much of a text as a message has room for, on one line.
fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let short: String = text.chars().take(MAX_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
