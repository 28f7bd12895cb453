//! Asks IAM and STS.

use http::Method;

use super::form::Form;
use crate::cli::{
    api_error::{ApiError, ApiResult, document},
    connection::{Connection, ConnectionArgs, Outgoing},
    element::Element,
};

/// Asks one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) connection: Connection,
}

impl Client {
    /// A client that signs; nothing is asked yet.
    pub(super) fn new(args: &ConnectionArgs) -> ApiResult<Self> {
        let connection = Connection::new(args)?;
        Ok(Self { connection })
    }

    /// A client for what needs no signature.
    pub(super) fn anonymous(args: &ConnectionArgs) -> ApiResult<Self> {
        let connection = Connection::anonymous(args)?;
        Ok(Self { connection })
    }

    /// The result of an action; empty for one that answers nothing.
    pub(super) fn ask(&self, form: &Form) -> ApiResult<Element> {
        let kind = "application/x-www-form-urlencoded".to_owned();
        let answer = self.connection.ask(&Outgoing {
            service: form.api.service(),
            method: Method::POST,
            path: "/",
            headers: &[("content-type", kind)],
            body: form.encoded().into(),
        })?;
        let malformed = || ApiError::Malformed {
            endpoint: self.connection.base(),
            status: answer.status.as_u16(),
        };
        let root = document(&self.connection, &answer)
            .map_err(|error| error.or_hint(hint))?
            .ok_or_else(malformed)?;
        let action = form.action();
        if root.name() != format!("{action}Response") {
            return Err(malformed());
        }
        let result = root.at(&format!("{action}Result"));
        Ok(result.cloned().unwrap_or_default())
    }

    /// All entries of a list, from as many pages as it has.
    pub(super) fn all(&self, form: &Form, list: &str) -> ApiResult<Vec<Element>> {
        let form = form.clone().with("MaxItems", "1000");
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        loop {
            let page = self.ask(&form.clone().with_some("Marker", marker.as_deref()))?;
            all.extend(page.list(list).iter().cloned());
            let next = page.get("Marker");
            if page.get("IsTruncated") != "true" || next.is_empty() {
                return Ok(all);
            }
            marker = Some(next);
        }
    }
}

/// What to do about a refusal that says it of no particular command.
fn hint(code: &str) -> Option<String> {
    let hint = match code {
        "ConcurrentModification" => "try again",
        "InvalidAction" => "the server does not know this action: is it older than this command?",
        _ => return None,
    };
    Some(hint.to_owned())
}
