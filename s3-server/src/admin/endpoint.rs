//! The table of endpoints: method and path to handler.

use std::future::ready;

use futures_util::future::BoxFuture;
use http::Method;

use super::{
    AdminCall, AdminError, AdminResult, V1, accounts, buckets, disks, encryption, heal, scrub,
    status, verify,
};
use crate::http::Response;

type Handler = for<'a> fn(AdminCall<'a>) -> BoxFuture<'a, AdminResult<Response>>;

/// Something that an administrator can ask for.
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// Below [`V1`].
    pub(super) path: &'static str,
    handler: Handler,
}

/// All of them, in order of path.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint::get(accounts::PATH, |call| Box::pin(accounts::list(call))),
    Endpoint::post(accounts::ADD_PATH, |call| Box::pin(accounts::add(call))),
    Endpoint::post(accounts::QUOTA_PATH, |call| {
        Box::pin(accounts::set_quota(call))
    }),
    Endpoint::post(accounts::REMOVE_PATH, |call| {
        Box::pin(accounts::remove(call))
    }),
    Endpoint::post(accounts::ROTATE_PATH, |call| {
        Box::pin(accounts::rotate(call))
    }),
    Endpoint::get(buckets::PATH, |call| Box::pin(buckets::list(call))),
    Endpoint::post(buckets::PROFILE_PATH, |call| {
        Box::pin(buckets::set_profile(call))
    }),
    Endpoint::post(buckets::QUOTA_PATH, |call| {
        Box::pin(buckets::set_quota(call))
    }),
    Endpoint::get("disks", |call| Box::pin(disks::list(call))),
    Endpoint::post("disks/add", |call| Box::pin(disks::add(call))),
    Endpoint::post("disks/cancel-drain", |call| {
        Box::pin(disks::cancel_drain(call))
    }),
    Endpoint::post("disks/drain", |call| Box::pin(disks::drain(call))),
    Endpoint::post("disks/remove", |call| Box::pin(disks::remove(call))),
    Endpoint::post("disks/replace", |call| Box::pin(disks::replace(call))),
    Endpoint::get(encryption::PATH, |call| Box::pin(encryption::answer(call))),
    Endpoint::post(encryption::REWRAP_PATH, |call| {
        Box::pin(encryption::rewrap(call))
    }),
    Endpoint::get(encryption::WATCH_PATH, |call| {
        Box::pin(ready(encryption::watch(&call)))
    }),
    Endpoint::get("heal", |call| Box::pin(ready(heal::answer(&call)))),
    Endpoint::post("heal/pace", |call| Box::pin(heal::pace(call))),
    Endpoint::post("heal/pause", |call| Box::pin(heal::pause(call))),
    Endpoint::post("heal/start", |call| Box::pin(heal::start(call))),
    Endpoint::get("heal/watch", |call| Box::pin(ready(heal::watch(&call)))),
    Endpoint::get(scrub::PATH, |call| Box::pin(scrub::status(call))),
    Endpoint::post(scrub::PACE_PATH, |call| Box::pin(scrub::pace(call))),
    Endpoint::post(scrub::PAUSE_PATH, |call| Box::pin(scrub::pause(call))),
    Endpoint::post(scrub::START_PATH, |call| Box::pin(scrub::start(call))),
    Endpoint::get("status", |call| Box::pin(status::answer(call))),
    Endpoint::get("status/watch", |call| Box::pin(ready(status::watch(&call)))),
    #[cfg(test)]
    Endpoint::get("test/count", |call| {
        Box::pin(ready(Ok(super::tests::count(&call))))
    }),
    #[cfg(test)]
    Endpoint::post("test/echo", |call| Box::pin(super::tests::echo(call))),
    Endpoint::post(verify::PATH, |call| Box::pin(verify::answer(call))),
];

impl Endpoint {
    /// Shows something and changes nothing.
    const fn get(path: &'static str, handler: Handler) -> Self {
        Self {
            method: Method::GET,
            path,
            handler,
        }
    }

    /// Changes something.
    const fn post(path: &'static str, handler: Handler) -> Self {
        Self {
            method: Method::POST,
            path,
            handler,
        }
    }

    pub(super) async fn answer(&self, call: AdminCall<'_>) -> AdminResult<Response> {
        (self.handler)(call).await
    }
}

/// The endpoint for a method and a whole path.
///
/// # Errors
/// `404` that names what there is, `405` that names the right method.
pub(super) fn find(method: &Method, path: &str) -> AdminResult<&'static Endpoint> {
    find_in(ENDPOINTS, method, path)
}

fn find_in<'t>(table: &'t [Endpoint], method: &Method, path: &str) -> AdminResult<&'t Endpoint> {
    let below = path.strip_prefix(V1).unwrap_or_default();
    let at: Vec<_> = table.iter().filter(|e| e.path == below).collect();
    match at.iter().find(|endpoint| endpoint.method == *method) {
        Some(endpoint) => Ok(endpoint),
        None if at.is_empty() => Err(unknown(table, path)),
        None => Err(wrong_method(&at, method, path)),
    }
}

fn unknown(table: &[Endpoint], path: &str) -> AdminError {
    let mut known: Vec<_> = table.iter().map(|endpoint| endpoint.path).collect();
    known.dedup();
    let known = known.join(", ");
    AdminError::not_found(format!(
        "there is no {path}: this version of Larder has {V1} with {known} (is the server older than the command?)"
    ))
}

fn wrong_method(at: &[&Endpoint], method: &Method, path: &str) -> AdminError {
    let right: Vec<_> = at.iter().map(|endpoint| endpoint.method.as_str()).collect();
    let right = right.join(" or ");
    AdminError::method_not_allowed(format!("{path} is asked with {right}, not with {method}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: AdminCall<'_>) -> BoxFuture<'_, AdminResult<Response>> {
        Box::pin(async { Ok(crate::reply::empty()) })
    }

    #[test]
    fn the_table_is_in_order_and_has_nothing_twice() {
        let keys: Vec<_> = ENDPOINTS
            .iter()
            .map(|e| (e.path, e.method.as_str()))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_asked_wrongly() {
        let table = [Endpoint::get("a", nothing), Endpoint::post("b", nothing)];
        let status = |method: Method, path: &str| match find_in(&table, &method, path) {
            Ok(endpoint) => endpoint.path.to_owned(),
            Err(error) => format!("{} {}", error.status().as_u16(), error.message()),
        };
        assert_eq!(status(Method::GET, "/_larder/v1/a"), "a");
        assert_eq!(status(Method::POST, "/_larder/v1/b"), "b");
        assert!(
            status(Method::GET, "/_larder/v1/b")
                .starts_with("405 /_larder/v1/b is asked with POST")
        );
        for path in [
            "/_larder/v1/c",
            "/_larder/v1/",
            "/_larder/v2/a",
            "/_larder/a",
        ] {
            let answer = status(Method::GET, path);
            assert!(
                answer.starts_with("404") && answer.contains("a, b"),
                "{answer}"
            );
        }
    }
}
