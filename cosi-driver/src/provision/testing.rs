//! What the tests of this module share.

use std::sync::Arc;

use super::{
    AccessMode, Authentication, Credentials, Grant, Granted, KeyPair, OidcProvider, Parameters,
    ProvisionError, ProvisionSettings, Provisioner,
};
use crate::backend::{Backend, Interrupted, Interruption, MemoryBackend};

pub(crate) fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

pub(crate) fn settings() -> ProvisionSettings {
    ProvisionSettings {
        oidc: Some(OidcProvider {
            url: "https://oidc.example/cluster".to_owned(),
            audience: "larder".to_owned(),
        }),
        ..ProvisionSettings::default()
    }
}

pub(crate) fn on<B: Backend + 'static>(backend: &Arc<B>) -> Provisioner {
    let backend: Arc<dyn Backend> = Arc::<B>::clone(backend);
    Provisioner::new(backend, settings())
}

/// A backend in memory with a provisioner.
pub(crate) fn memory() -> (Arc<MemoryBackend>, Provisioner) {
    let backend = Arc::new(MemoryBackend::new());
    let provisioner = on(&backend);
    (backend, provisioner)
}

pub(crate) fn grant(account: &str, buckets: &[&str]) -> Grant {
    Grant {
        account: account.to_owned(),
        buckets: buckets
            .iter()
            .map(|name| ((*name).to_owned(), None))
            .collect(),
        authentication: Authentication::Key,
        parameters: Parameters::new(),
    }
}

pub(crate) fn with_mode(account: &str, bucket: &str, mode: AccessMode) -> Grant {
    Grant {
        buckets: vec![(bucket.to_owned(), Some(mode))],
        ..grant(account, &[])
    }
}

pub(crate) fn of_service_account(account: &str, bucket: &str) -> Grant {
    Grant {
        authentication: Authentication::ServiceAccount {
            namespace: "db".to_owned(),
            name: "backup".to_owned(),
        },
        ..grant(account, &[bucket])
    }
}

pub(crate) fn key(granted: &Granted) -> KeyPair {
    match &granted.credentials {
        Credentials::Key(pair) => pair.clone(),
        other @ Credentials::Role { .. } => panic!("{other:?} is no key"),
    }
}

/// The refusal's words, and that it is one of this kind.
pub(crate) fn refusal<T: std::fmt::Debug>(
    kind: fn(String) -> ProvisionError,
    answer: Result<T, ProvisionError>,
) -> String {
    let error = answer.unwrap_err();
    let message = error.to_string();
    assert_eq!(error, kind(message.clone()));
    message
}

/// `backend` as one that others come to between any two operations.
pub(crate) fn yielding(backend: Arc<dyn Backend>) -> Arc<Interrupted> {
    Arc::new(Interrupted::after(backend, 0, Interruption::Fail))
}
