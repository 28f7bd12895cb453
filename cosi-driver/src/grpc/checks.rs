//! What the fields of requests may be: COSI bounds strings and maps, and some must not be empty.

use tonic::Status;

use crate::provision::Parameters;

/// Of a string, unless its field says otherwise.
pub const MAX_STRING_BYTES: usize = 128;
/// Of identifiers: those of v1alpha2 are that long, and a static bucket of v1alpha1 has one that nobody checked.
pub const MAX_ID_BYTES: usize = 2048;
/// Of keys and values of a map together.
pub const MAX_MAP_BYTES: usize = 4 << 10;
/// Of buckets that one access is for.
pub const MAX_BUCKETS: usize = 128;

/// A name: there, and not too long.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field's name and what is allowed.
pub fn name(field: &str, value: &str) -> Result<(), Status> {
    required(field, value, MAX_STRING_BYTES)
}

/// An identifier: there, and not too long.
///
/// # Errors
/// As [`name`].
pub fn id(field: &str, value: &str) -> Result<(), Status> {
    required(field, value, MAX_ID_BYTES)
}

fn required(field: &str, value: &str, max_bytes: usize) -> Result<(), Status> {
    if value.is_empty() {
        return Err(Status::invalid_argument(format!("{field} is empty")));
    }
    bounded(field, value, max_bytes)
}

/// A string that may be empty.
///
/// # Errors
/// As [`name`].
pub fn bounded(field: &str, value: &str, max_bytes: usize) -> Result<(), Status> {
    if value.len() <= max_bytes {
        return Ok(());
    }
    let bytes = value.len();
    Err(Status::invalid_argument(format!(
        "{field} has {bytes} bytes, at most {max_bytes} are allowed"
    )))
}

/// Parameters of a class.
///
/// # Errors
/// As [`name`].
pub fn map(field: &str, map: &Parameters) -> Result<(), Status> {
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes <= MAX_MAP_BYTES {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "{field} have {bytes} bytes, at most {MAX_MAP_BYTES} are allowed"
    )))
}

/// The number of buckets of an access.
///
/// # Errors
/// As [`name`].
pub fn bucket_count(count: usize) -> Result<(), Status> {
    if (1..=MAX_BUCKETS).contains(&count) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "buckets has {count} entries, 1 to {MAX_BUCKETS} are allowed"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_where_cosi_has_them() {
        assert!(name("name", &"a".repeat(128)).is_ok());
        assert!(id("bucket_id", &"a".repeat(2048)).is_ok());
        let of = |bytes: usize| Parameters::from([("k".to_owned(), "v".repeat(bytes))]);
        assert!(map("parameters", &of(4095)).is_ok());
        assert!(bucket_count(128).is_ok());
        let too_much = [
            name("name", &"a".repeat(129)),
            id("bucket_id", &"a".repeat(2049)),
            map("parameters", &of(4096)),
            bucket_count(129),
        ];
        let texts = too_much.map(|it| it.unwrap_err().message().to_owned());
        assert_eq!(
            texts,
            [
                "name has 129 bytes, at most 128 are allowed",
                "bucket_id has 2049 bytes, at most 2048 are allowed",
                "parameters have 4097 bytes, at most 4096 are allowed",
                "buckets has 129 entries, 1 to 128 are allowed",
            ]
        );
    }

    #[test]
    fn what_is_empty_is_named() {
        assert_eq!(name("name", "").unwrap_err().message(), "name is empty");
        assert!(bounded("account_id", "", MAX_ID_BYTES).is_ok());
        assert!(bucket_count(0).is_err());
    }
}
