//! Requests, taken apart: which resource, object and subresource a path means, and what its query asks for.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// A request whose body has been read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Who writes, where the query doesn't say: the first word of the client's name.
    pub(crate) fn field_manager(&self) -> String {
        let named = self.query.text("fieldManager");
        if !named.is_empty() {
            return named.to_owned();
        }
        let agent = self
            .header("user-agent")
            .split('/')
            .next()
            .unwrap_or_default();
        if agent.is_empty() {
            "unknown".to_owned()
        } else {
            agent.to_owned()
        }
    }
}

/// Parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        Self(
            query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }
}

/// What a path means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) plural: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Target {
    /// `None` where the path is not that of a resource.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let decoded: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (*namespace, inner),
            _ => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, subresource] => (*plural, *name, *subresource),
            _ => return None,
        };
        let own = |text: &str| text.to_owned();
        Some(Self {
            group: own(group),
            version: own(version),
            namespace: own(namespace),
            plural: own(plural),
            name: own(name),
            subresource: own(subresource),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> Vec<String> {
        let target = Target::parse(path).unwrap();
        vec![
            target.group,
            target.version,
            target.namespace,
            target.plural,
            target.name,
            target.subresource,
        ]
    }

    #[test]
    fn paths_mean_objects() {
        for (path, expected) in [
            ("/api/v1/secrets", ["", "v1", "", "secrets", "", ""]),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            (
                "/api/v1/namespaces/db",
                ["", "v1", "", "namespaces", "db", ""],
            ),
            (
                "/api/v1/namespaces/db/status",
                ["", "v1", "", "namespaces", "db", "status"],
            ),
            (
                "/api/v1/namespaces/db/secrets",
                ["", "v1", "db", "secrets", "", ""],
            ),
            (
                "/apis/g.io/v1/namespaces/db/claims/a%2Db/status",
                ["g.io", "v1", "db", "claims", "a-b", "status"],
            ),
            (
                "/apis/g.io/v1/buckets/b/status",
                ["g.io", "v1", "", "buckets", "b", "status"],
            ),
        ] {
            assert_eq!(parts(path), expected, "{path}");
        }
        assert_eq!(Target::parse("/api/v1"), None);
        assert_eq!(Target::parse("/version"), None);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&limit=5&watch=1&x");
        assert_eq!(
            (
                query.text("labelSelector"),
                query.number("limit"),
                query.is_true("watch"),
                query.text("x")
            ),
            ("a=b,c", Some(5), true, "")
        );
    }
}
