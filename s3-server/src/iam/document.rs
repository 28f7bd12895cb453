//! The XML of answers.

use quick_xml::escape::escape;

use super::{api::Api, error::IamError};
use crate::xml::iso8601;

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// With text.
    Text(&'static str, String),
    /// With elements.
    Group(&'static str, Vec<Node>),
}

/// An element with text.
pub(super) fn text(name: &'static str, value: impl Into<String>) -> Node {
    Node::Text(name, value.into())
}

/// An element with elements.
pub(super) fn group(name: &'static str, nodes: Vec<Node>) -> Node {
    Node::Group(name, nodes)
}

/// A list of structures.
pub(super) fn members(name: &'static str, all: impl IntoIterator<Item = Vec<Node>>) -> Node {
    let all = all.into_iter();
    Node::Group(name, all.map(|nodes| group("member", nodes)).collect())
}

/// A list of texts.
pub(super) fn texts(name: &'static str, all: impl IntoIterator<Item = String>) -> Node {
    let all = all.into_iter();
    Node::Group(name, all.map(|value| text("member", value)).collect())
}

/// A time, in seconds since 1970.
pub(super) fn date(name: &'static str, unix_seconds: u64) -> Node {
    let millis = i64::try_from(unix_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    let written = iso8601(millis);
    let seconds = written
        .split_once('.')
        .map_or(&*written, |(whole, _)| whole);
    text(name, format!("{seconds}Z"))
}

/// The document of an answer. `result` is empty where an action has none.
pub(super) fn answer(api: Api, action: &str, result: &[Node], request_id: &str) -> String {
    let mut out = head();
    open_root(&format!("{action}Response"), api, &mut out);
    // What answers nothing has no such element, but for one action.
    if !result.is_empty() || action == "UpdateRole" {
        write_group(&format!("{action}Result"), result, &mut out);
    }
    let metadata = group("ResponseMetadata", vec![text("RequestId", request_id)]);
    write(&metadata, &mut out);
    close(&format!("{action}Response"), &mut out);
    out
}

/// The document of a refusal.
pub(super) fn refusal(api: Api, error: &IamError, request_id: &str) -> String {
    let kind = if error.code().status().is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let mut out = head();
    open_root("ErrorResponse", api, &mut out);
    let nodes = [
        group(
            "Error",
            vec![
                text("Type", kind),
                text("Code", error.code().as_str()),
                text("Message", error.message()),
            ],
        ),
        text("RequestId", request_id),
    ];
    for node in &nodes {
        write(node, &mut out);
    }
    close("ErrorResponse", &mut out);
    out
}

fn head() -> String {
    String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
}

fn write(node: &Node, out: &mut String) {
    match node {
        Node::Text(name, value) => {
            open(name, out);
            out.push_str(&escape(printable(value)));
            close(name, out);
        }
        Node::Group(name, nodes) => write_group(name, nodes, out),
    }
}

fn write_group(name: &str, nodes: &[Node], out: &mut String) {
    open(name, out);
    for node in nodes {
        write(node, out);
    }
    close(name, out);
}

fn open_root(name: &str, api: Api, out: &mut String) {
    for part in ["<", name, " xmlns=\"", api.namespace(), "\">"] {
        out.push_str(part);
    }
}

fn open(name: &str, out: &mut String) {
    for part in ["<", name, ">"] {
        out.push_str(part);
    }
}

fn close(name: &str, out: &mut String) {
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

/// Without what XML 1.0 cannot say.
fn printable(value: &str) -> String {
    let may_be = |c: &char| !c.is_control() || ['\t', '\n', '\r'].contains(c);
    let shown = value.chars().filter(may_be);
    shown
        .filter(|c| !['\u{fffe}', '\u{ffff}'].contains(c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::error::IamCode;

    #[test]
    fn answers_look_as_aws_writes_them() {
        let nodes = [group(
            "User",
            vec![
                text("UserName", "a<b\u{1}"),
                date("CreateDate", 1_330_000_000),
            ],
        )];
        assert_eq!(
            answer(Api::Iam, "GetUser", &nodes, "ID"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetUserResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetUserResult><User><UserName>a&lt;b</UserName><CreateDate>2012-02-23T12:26:40Z</CreateDate></User></GetUserResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></GetUserResponse>"
        );
        assert!(!answer(Api::Sts, "DeleteUser", &[], "ID").contains("Result>"));
    }

    #[test]
    fn refusals_look_as_aws_writes_them() {
        let error = IamError::new(IamCode::NoSuchEntity, "none & nothing");
        let written = refusal(Api::Sts, &error, "ID");
        assert!(written.ends_with("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>none &amp; nothing</Message></Error><RequestId>ID</RequestId></ErrorResponse>"), "{written}");
        let fault = IamError::internal("disk");
        assert!(refusal(Api::Iam, &fault, "ID").contains("<Type>Receiver</Type>"));
    }
}
