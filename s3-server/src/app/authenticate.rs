//! Who sent a request: the root of an account, a user with an access key, or somebody with temporary credentials.
//!
//! Temporary credentials are not kept: the token that comes with them has everything, sealed under the master key. It is opened before the
//! signature is checked, and says by which secret. What it allows is worked out from what is there now: a session of a role or user that
//! is gone is nobody's.

use std::sync::Arc;

use super::App;
use crate::{
    accounts::{Account, Caller},
    error::{S3Code, S3Error, S3Result},
    iam::{
        IamError, IamResult, Key, Member, Role, Session, SessionOf, User, expired, invalid_token,
    },
    route, sigv2,
    sigv4::{self, PostSignature, Request, Secret, Service, SigError, Verified},
};

/// Whose key signed a request.
enum Signer {
    Root(Arc<Account>),
    User(Arc<Key>, Arc<Account>),
    Session(Box<Session>, Arc<Account>),
}

impl Signer {
    /// `None` where it may not sign.
    fn secret(&self) -> Option<Secret> {
        match self {
            Self::Root(account) => Some(account.secret.clone()),
            Self::User(key, _) => key.secret().cloned(),
            Self::Session(session, _) => Some(Secret::new(session.secret.as_str())),
        }
    }
}

/// Why a token is of no use.
enum BadToken {
    Invalid,
    Expired,
}

impl From<BadToken> for S3Error {
    fn from(bad: BadToken) -> Self {
        Self::new(match bad {
            BadToken::Invalid => S3Code::InvalidToken,
            BadToken::Expired => S3Code::ExpiredToken,
        })
    }
}

impl From<BadToken> for IamError {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Invalid => invalid_token(),
            BadToken::Expired => expired(),
        }
    }
}

impl App {
    /// Whether somebody has this access key.
    pub(crate) fn knows_access_key(&self, access_key: &str) -> bool {
        self.signer(access_key, None).is_some()
    }

    /// Who sent this request, and how it is protected.
    ///
    /// # Errors
    /// That of the signature, or [`S3Code::ServiceUnavailable`] while no credentials are known.
    pub fn authenticate(&self, parts: &http::request::Parts) -> S3Result<(Caller, Verified)> {
        self.opened()?;
        let request = of_parts(parts);
        if sigv4::is_anonymous(&request) {
            return Ok((Caller::Anonymous, Verified::anonymous(request.headers)?));
        }
        let token = sigv4::session_token(&request);
        let session = token
            .as_deref()
            .map(|token| self.session(token))
            .transpose()?;
        let now = self.unix_seconds();
        let mut found = None;
        let secret_of = |key: &str| {
            found = self.signer(key, session);
            found.as_ref().and_then(Signer::secret)
        };
        let verified = if sigv2::is_presigned(request.uri, request.headers) {
            let bucket = route::host_bucket(request.uri, request.headers, &self.domains);
            sigv2::verify(&request, bucket.as_deref(), now, secret_of)?
        } else {
            self.verifier.verify(&request, now, secret_of)?
        };
        match found {
            Some(signer) if verified.session_token == token => {
                let caller = self.caller(signer, Service::S3);
                Ok((caller.ok_or(S3Code::InvalidAccessKeyId)?, verified))
            }
            _ => Err(BadToken::Invalid.into()),
        }
    }

    /// Who signed the policy document of a form.
    ///
    /// # Errors
    /// As [`App::authenticate`].
    pub fn authenticate_post(
        &self,
        policy: &str,
        claimed: &PostSignature<'_>,
        token: Option<&str>,
    ) -> S3Result<(Caller, String)> {
        self.opened()?;
        let session = token.map(|token| self.session(token)).transpose()?;
        let mut found = None;
        let secret_of = |key: &str| {
            found = self.signer(key, session);
            found.as_ref().and_then(Signer::secret)
        };
        let access_key = self.verifier.verify_post(policy, claimed, secret_of)?;
        let caller = found.and_then(|signer| self.caller(signer, Service::S3));
        Ok((caller.ok_or(S3Code::InvalidAccessKeyId)?, access_key))
    }

    /// Who sent this request to IAM or STS. `body_sha256` is in hexadecimal.
    ///
    /// # Errors
    /// That of the signature, or of a server that is not open yet.
    pub(crate) fn authenticate_query(
        &self,
        service: Service,
        parts: &http::request::Parts,
        body_sha256: &str,
    ) -> IamResult<Caller> {
        self.opened()?;
        let request = of_parts(parts);
        if sigv4::is_anonymous(&request) {
            return Ok(Caller::Anonymous);
        }
        let token = sigv4::session_token(&request);
        let session = token
            .as_deref()
            .map(|token| self.session(token))
            .transpose()?;
        let mut found = None;
        let secret_of = |key: &str| {
            found = self.signer(key, session);
            found.as_ref().and_then(Signer::secret)
        };
        let now = self.unix_seconds();
        let verified =
            self.verifier
                .verify_with_body(service, &request, body_sha256, now, secret_of)?;
        let caller = found
            .filter(|_| verified.session_token == token)
            .and_then(|signer| self.caller(signer, service));
        let access_key = verified.access_key;
        Ok(caller.ok_or(SigError::UnknownAccessKey { access_key })?)
    }

    /// What a token says.
    fn session(&self, token: &str) -> Result<Session, BadToken> {
        let keyring = self.keyring().map_err(|_| BadToken::Invalid)?;
        let session = Session::open(token, keyring).ok_or(BadToken::Invalid)?;
        if session.expires <= self.clock.unix_millis() / 1000 {
            return Err(BadToken::Expired);
        }
        Ok(session)
    }

    /// Whose access key this is, if it may sign. With a token it is the token's and no other.
    fn signer(&self, access_key: &str, session: Option<Session>) -> Option<Signer> {
        if let Some(session) = session {
            let session = Some(session).filter(|session| session.access_key == access_key)?;
            let account = self.accounts.of_id(session.account()?)?;
            return Some(Signer::Session(Box::new(session), account));
        }
        if let Some(account) = self.accounts.of_access_key(access_key) {
            return Some(Signer::Root(account));
        }
        let key = self.directory.key(access_key)?;
        let account = self.accounts.of_id(key.account)?;
        Some(Signer::User(key, account))
    }

    /// Who somebody is that has signed, as they are now; `None` where they are gone.
    fn caller(&self, signer: Signer, service: Service) -> Option<Caller> {
        let directory = &self.directory;
        let member = match signer {
            Signer::Root(account) => return Some(Caller::Account(account)),
            Signer::User(key, account) => {
                let user = directory.of_id::<User>(account.id, &key.user)?;
                let now = self.clock.unix_millis() / 1000;
                key.note_use(now, service.name(), &self.region);
                Member::user(directory, &account, &user)
            }
            Signer::Session(session, account) => match &session.of {
                SessionOf::User { id } => {
                    let user = directory.of_id::<User>(account.id, id)?;
                    let member = Member::user(directory, &account, &user);
                    member.in_session(&session)
                }
                SessionOf::Role { id, .. } => {
                    let role = directory.of_id::<Role>(account.id, id)?;
                    Member::role(directory, &account, &role, &session)
                }
            },
        };
        Some(Caller::Member(Arc::new(member)))
    }

    fn unix_seconds(&self) -> i64 {
        i64::try_from(self.clock.unix_millis() / 1000).unwrap_or(i64::MAX)
    }
}

fn of_parts(parts: &http::request::Parts) -> Request<'_> {
    Request {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
    }
}
