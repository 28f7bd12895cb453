//! What all versions of the services work with.

use std::sync::Arc;

use super::calls::Calls;
use crate::provision::Provisioner;

/// A driver: its name, and who does what is asked of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Driver {
    /// As classes write it; see [`check_name`].
    pub name: Arc<str>,
    /// Makes buckets and accounts.
    pub provisioner: Provisioner,
    /// What each call goes through.
    pub calls: Calls,
}

/// Of a driver's name.
const MAX_NAME_BYTES: usize = 63;

/// Whether a driver may be called that: labels as in host names, joined by dots, each beginning with a letter.
///
/// # Errors
/// What is wrong with it, for the operator.
pub fn check_name(name: &str) -> Result<(), String> {
    let bytes = name.len();
    if bytes > MAX_NAME_BYTES {
        return Err(format!(
            "driver name `{name}` has {bytes} characters, at most {MAX_NAME_BYTES} are allowed"
        ));
    }
    if name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "driver name `{name}` is none: write labels of a-z, 0-9 and - joined by dots, each beginning with a letter and not ending in -, such as cosi.larder.dev"
    ))
}

fn is_label(label: &str) -> bool {
    let may_be = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    label.starts_with(|it: char| it.is_ascii_lowercase())
        && !label.ends_with('-')
        && label.bytes().all(may_be)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_drivers_are_those_of_hosts() {
        for good in ["cosi.larder.dev", "a", "a-1.b", &"a".repeat(63)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "", ".", "a.", "a..b", "A.b", "1a.b", "a-.b", "-a", "a_b", "a/b", "ä", &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name(&long).unwrap_err().contains("has 64 characters"));
    }
}
