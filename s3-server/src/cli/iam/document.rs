//! Policy documents: read from a file or stdin, and as answers have them.

use std::{
    fs::File,
    io::{Read, stdin},
    path::Path,
};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::cli::Failure;

/// Larger than any policy that is taken.
const MAX_BYTES: u64 = 64 << 10;

/// The text of a file, or of stdin for `-`, once it is JSON.
///
/// # Errors
/// It can't be read, is too long, or is no JSON.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let text = contents(path, MAX_BYTES).map_err(|error| format!("{name}: {error}"))?;
    let parsed: Result<Value, _> = serde_json::from_str(&text);
    parsed.map_err(|error| {
        format!("{name} is no policy, which is a JSON document of AWS's policy language: {error}")
    })?;
    Ok(text)
}

/// What is in a file, or comes from stdin for `-`.
pub(super) fn contents(path: &Path, max_bytes: u64) -> std::io::Result<String> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        Box::new(File::open(path)?)
    };
    let mut text = String::new();
    source.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        let message = format!("more than {max_bytes} bytes");
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}

/// The document of an answer, which has it percent-encoded.
pub(super) fn decoded(text: &str) -> Value {
    let text = percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
}

/// For people.
pub(super) fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}
