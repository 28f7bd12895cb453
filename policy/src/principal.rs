//! Who asks, and whom a statement names.

use crate::{arn, error::PolicyError};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester<'a> {
    /// Nobody known.
    Anonymous,
    /// An account's root.
    Root(Account<'a>),
    /// A user of an account.
    User {
        /// Its account.
        account: Account<'a>,
        /// Its name, `arn:aws:iam::…:user/…`.
        arn: &'a str,
    },
    /// Somebody who took on a role of an account.
    Session {
        /// The role's account.
        account: Account<'a>,
        /// The role, `arn:aws:iam::…:role/…`.
        role: &'a str,
        /// The session, `arn:aws:sts::…:assumed-role/…/…`.
        arn: &'a str,
    },
    /// Somebody whom an identity provider vouches for, before any role is taken on.
    Federated(&'a str),
    /// A service, such as `logging.s3.amazonaws.com`.
    Service(&'a str),
}

/// An account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    /// Its twelve digits.
    pub id: &'a str,
    /// Its name in access control lists.
    pub canonical_id: &'a str,
}

impl<'a> Requester<'a> {
    /// The account that it belongs to.
    pub fn account(&self) -> Option<Account<'a>> {
        match *self {
            Self::Root(account) | Self::User { account, .. } | Self::Session { account, .. } => {
                Some(account)
            }
            Self::Anonymous | Self::Federated(_) | Self::Service(_) => None,
        }
    }

    /// Its own name, where that is not its account's.
    fn arn(&self) -> Option<&'a str> {
        match *self {
            Self::User { arn, .. } | Self::Session { arn, .. } => Some(arn),
            _ => None,
        }
    }
}

/// How a statement names a requester; the more exact comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// As one of its account, which then decides by its own policies whom it lets.
    Account,
    /// As anybody.
    Everyone,
    /// By the role that it took on.
    Role,
    /// By its own name.
    Itself,
}

/// Somebody whom a policy names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NamedPrincipal {
    /// `*`
    Everyone,
    /// An account, by its twelve digits or its root's name.
    Account {
        /// The digits.
        id: Box<str>,
        /// As it was written.
        source: Box<str>,
    },
    /// A user, a role, or a session of a role.
    Arn {
        /// The digits of its account.
        account: Box<str>,
        /// Its name.
        arn: Box<str>,
    },
    /// An account, by its name in access control lists.
    Canonical(Box<str>),
    /// An identity provider.
    Federated(Box<str>),
    /// A service.
    Service(Box<str>),
}

impl NamedPrincipal {
    /// Reads a principal of the kind `AWS`, `CanonicalUser`, `Federated` or `Service`.
    ///
    /// # Errors
    /// [`PolicyError::Principal`].
    pub(crate) fn parse(kind: &str, text: &str) -> Result<Self, PolicyError> {
        let named = match kind {
            "AWS" => aws(text),
            "CanonicalUser" => is_canonical(text).then(|| Self::Canonical(text.into())),
            "Federated" => is_provider(text).then(|| Self::Federated(text.into())),
            "Service" => is_service(text).then(|| Self::Service(text.into())),
            _ => None,
        };
        named.ok_or_else(|| PolicyError::Principal(format!("\"{kind}\" : \"{text}\"")))
    }

    /// The kind, and the principal as it was written.
    pub(crate) fn source(&self) -> (&'static str, &str) {
        match self {
            Self::Everyone => ("AWS", "*"),
            Self::Account { source, .. } => ("AWS", source),
            Self::Arn { arn, .. } => ("AWS", arn),
            Self::Canonical(id) => ("CanonicalUser", id),
            Self::Federated(name) => ("Federated", name),
            Self::Service(name) => ("Service", name),
        }
    }

    /// How it names `requester`, if it does.
    pub(crate) fn names(&self, requester: &Requester<'_>) -> Option<Via> {
        let of_account = |is: bool| {
            let via = match requester {
                Requester::Root(_) => Via::Itself,
                _ => Via::Account,
            };
            is.then_some(via)
        };
        match (self, requester) {
            (Self::Everyone, _) => Some(Via::Everyone),
            (Self::Account { id, .. }, _) => of_account(requester.account()?.id == &**id),
            (Self::Canonical(id), _) => of_account(requester.account()?.canonical_id == &**id),
            (Self::Arn { arn, .. }, Requester::Session { role, .. }) if **arn == **role => {
                Some(Via::Role)
            }
            (Self::Arn { arn, .. }, _) => (requester.arn()? == &**arn).then_some(Via::Itself),
            (Self::Federated(name), Requester::Federated(by))
            | (Self::Service(name), Requester::Service(by)) => {
                (**name == **by).then_some(Via::Itself)
            }
            (Self::Federated(_) | Self::Service(_), _) => None,
        }
    }
}

fn aws(text: &str) -> Option<NamedPrincipal> {
    let account = |id: &str| NamedPrincipal::Account {
        id: id.into(),
        source: text.into(),
    };
    if text == "*" {
        return Some(NamedPrincipal::Everyone);
    }
    if is_account(text) {
        return Some(account(text));
    }
    let [_, partition, service, region, id, resource] = arn::split(text)?;
    let is_named = ["aws", "aws-cn", "aws-us-gov"].contains(&partition)
        && region.is_empty()
        && is_account(id)
        && resource
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"*?".contains(&b));
    let kinds: &[&str] = match service {
        "iam" if resource == "root" => return is_named.then(|| account(id)),
        "iam" => &["user/", "role/"],
        "sts" => &["assumed-role/", "federated-user/"],
        _ => &[],
    };
    let begins = |kind: &&str| resource.len() > kind.len() && resource.starts_with(*kind);
    (is_named && kinds.iter().any(begins)).then(|| NamedPrincipal::Arn {
        account: id.into(),
        arn: text.into(),
    })
}

/// Whether `text` has the form of an account's number.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_canonical(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_provider(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !b"*?".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

fn is_service(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    text.contains('.') && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Account<'_> = Account {
        id: "111122223333",
        canonical_id: "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
    };

    fn names(kind: &str, text: &str, requester: Requester<'_>) -> Option<Via> {
        NamedPrincipal::parse(kind, text)
            .expect("a principal")
            .names(&requester)
    }

    #[test]
    fn accounts_name_all_who_belong_to_them() {
        let user = Requester::User {
            account: ANN,
            arn: "arn:aws:iam::111122223333:user/bob",
        };
        for (kind, text) in [
            ("AWS", "111122223333"),
            ("AWS", "arn:aws:iam::111122223333:root"),
            ("CanonicalUser", ANN.canonical_id),
        ] {
            assert_eq!(names(kind, text, Requester::Root(ANN)), Some(Via::Itself));
            assert_eq!(names(kind, text, user), Some(Via::Account));
            assert_eq!(names(kind, text, Requester::Anonymous), None);
        }
        assert_eq!(names("AWS", "444455556666", Requester::Root(ANN)), None);
    }

    #[test]
    fn users_roles_and_sessions_are_named_exactly() {
        let user = Requester::User {
            account: ANN,
            arn: "arn:aws:iam::111122223333:user/a/bob",
        };
        let session = Requester::Session {
            account: ANN,
            role: "arn:aws:iam::111122223333:role/r",
            arn: "arn:aws:sts::111122223333:assumed-role/r/s",
        };
        let aws = |text, requester| names("AWS", text, requester);
        assert_eq!(
            aws("arn:aws:iam::111122223333:user/a/bob", user),
            Some(Via::Itself)
        );
        assert_eq!(aws("arn:aws:iam::111122223333:user/a/bobby", user), None);
        assert_eq!(
            aws("arn:aws:iam::111122223333:user/a/bob", Requester::Root(ANN)),
            None
        );
        assert_eq!(
            aws("arn:aws:iam::111122223333:role/r", session),
            Some(Via::Role)
        );
        assert_eq!(
            aws("arn:aws:sts::111122223333:assumed-role/r/s", session),
            Some(Via::Itself)
        );
        assert_eq!(aws("*", Requester::Anonymous), Some(Via::Everyone));
        let service = Requester::Service("logging.s3.amazonaws.com");
        assert_eq!(
            names("Service", "logging.s3.amazonaws.com", service),
            Some(Via::Itself)
        );
        assert_eq!(
            names("Federated", "logging.s3.amazonaws.com", service),
            None
        );
    }

    #[test]
    fn what_is_nobody_is_refused() {
        for (kind, text) in [
            ("AWS", ""),
            ("AWS", "11112222333"),
            ("AWS", "arn:aws:iam::111122223333:*"),
            ("AWS", "arn:aws:iam::111122223333:user/*"),
            ("AWS", "arn:aws:iam::111122223333:user/"),
            ("AWS", "arn:aws:iam:::root"),
            ("AWS", "arn:aws:s3:::bucket"),
            ("AWS", "arn:aws:iam::111122223333:group/g"),
            ("CanonicalUser", "*"),
            ("CanonicalUser", "abc"),
            ("Service", "*"),
            ("Federated", "*"),
            ("Nobody", "111122223333"),
        ] {
            assert!(NamedPrincipal::parse(kind, text).is_err(), "{kind} {text}");
        }
    }
}
