//! Access modes of all revisions, in ours.

use tonic::Status;

use crate::{
    grpc::pb::{r1, r3},
    provision::AccessMode,
};

/// The one mode of R1. Its sidecar always sends one.
pub(super) fn single(mode: Option<r1::AccessMode>) -> Result<Option<AccessMode>, Status> {
    use r1::access_mode::Mode;
    match mode.unwrap_or_default().mode() {
        Mode::ReadWrite => Ok(Some(AccessMode::ReadWrite)),
        Mode::ReadOnly => Ok(Some(AccessMode::ReadOnly)),
        Mode::WriteOnly => Ok(Some(AccessMode::WriteOnly)),
        Mode::Unknown => Err(Status::invalid_argument(
            "buckets.access_mode is not set: READ_WRITE, READ_ONLY or WRITE_ONLY",
        )),
    }
}

/// The three modes of R2 and R3, as their numbers; `None` for what was not sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes {
    pub(super) object_data: Option<i32>,
    pub(super) object_metadata: Option<i32>,
    pub(super) bucket_metadata: Option<i32>,
}

impl Modes {
    /// What Larder's policies can say of them: metadata of objects goes with their data, and settings of the bucket with all of it.
    ///
    /// `ANY` leaves it to the class, and asks for nothing more.
    pub(super) fn together(self) -> Result<Option<AccessMode>, Status> {
        use r3::access_mode::Mode;
        let data = known(
            "object_data_access_mode",
            self.object_data.unwrap_or_default(),
        )?;
        let any = i32::from(Mode::Any);
        let of_objects = known(
            "object_metadata_access_mode",
            self.object_metadata.unwrap_or(any),
        )?;
        let of_bucket = known(
            "bucket_metadata_access_mode",
            self.bucket_metadata.unwrap_or(any),
        )?;
        if of_objects != Mode::Any && of_objects != data {
            return Err(unavailable("object_metadata_access_mode", of_objects, data));
        }
        match (of_bucket, data) {
            (Mode::Any, Mode::ReadWrite) => Ok(Some(AccessMode::ReadWrite)),
            (Mode::Any, Mode::ReadOnly) => Ok(Some(AccessMode::ReadOnly)),
            (Mode::Any, Mode::WriteOnly) => Ok(Some(AccessMode::WriteOnly)),
            (Mode::Any, _) => Ok(None),
            (Mode::ReadWrite, Mode::ReadWrite) => Ok(Some(AccessMode::Admin)),
            _ => Err(unavailable("bucket_metadata_access_mode", of_bucket, data)),
        }
    }
}

fn known(field: &str, number: i32) -> Result<r3::access_mode::Mode, Status> {
    match r3::access_mode::Mode::try_from(number) {
        Ok(mode) if mode != r3::access_mode::Mode::Unknown => Ok(mode),
        _ => Err(Status::invalid_argument(format!(
            "buckets.{field} is not set: ANY, READ_WRITE, READ_ONLY or WRITE_ONLY"
        ))),
    }
}

fn unavailable(field: &str, mode: r3::access_mode::Mode, data: r3::access_mode::Mode) -> Status {
    let (mode, data) = (mode.as_str_name(), data.as_str_name());
    Status::invalid_argument(format!(
        "buckets.{field} {mode} can't be had with object_data_access_mode {data}: metadata of objects goes with their data, and settings of the bucket \
         with READ_WRITE of all three; leave it out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: Option<i32> = Some(0);
    const ANY: Option<i32> = Some(1);
    const READ_WRITE: Option<i32> = Some(2);
    const READ_ONLY: Option<i32> = Some(3);
    const WRITE_ONLY: Option<i32> = Some(4);

    fn together(all: [Option<i32>; 3]) -> Result<Option<AccessMode>, Status> {
        let [object_data, object_metadata, bucket_metadata] = all;
        Modes {
            object_data,
            object_metadata,
            bucket_metadata,
        }
        .together()
    }

    #[test]
    fn modes_that_go_together_are_granted() {
        let all = [
            ([READ_WRITE, None, None], Some(AccessMode::ReadWrite)),
            ([READ_ONLY, READ_ONLY, ANY], Some(AccessMode::ReadOnly)),
            ([WRITE_ONLY, ANY, None], Some(AccessMode::WriteOnly)),
            (
                [READ_WRITE, READ_WRITE, READ_WRITE],
                Some(AccessMode::Admin),
            ),
            ([ANY, ANY, ANY], None),
        ];
        for (asked, granted) in all {
            assert_eq!(together(asked).unwrap(), granted, "{asked:?}");
        }
    }

    #[test]
    fn others_are_refused_by_name() {
        let all = [
            (
                [None, READ_ONLY, None],
                "object_data_access_mode is not set",
            ),
            ([UNKNOWN, ANY, ANY], "object_data_access_mode is not set"),
            ([Some(9), ANY, ANY], "object_data_access_mode is not set"),
            (
                [READ_WRITE, UNKNOWN, ANY],
                "object_metadata_access_mode is not set",
            ),
            (
                [READ_WRITE, READ_ONLY, ANY],
                "object_metadata_access_mode READ_ONLY",
            ),
            (
                [READ_ONLY, ANY, READ_ONLY],
                "bucket_metadata_access_mode READ_ONLY",
            ),
            (
                [READ_ONLY, ANY, READ_WRITE],
                "bucket_metadata_access_mode READ_WRITE",
            ),
        ];
        for (asked, why) in all {
            let refused = together(asked).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.message().contains(why), "{refused}");
        }
    }

    #[test]
    fn the_first_revision_has_numbers_of_its_own() {
        let of = |mode| single(Some(r1::AccessMode { mode }));
        assert_eq!(of(1).unwrap(), Some(AccessMode::ReadWrite));
        assert_eq!(of(2).unwrap(), Some(AccessMode::ReadOnly));
        assert_eq!(of(3).unwrap(), Some(AccessMode::WriteOnly));
        assert!(of(0).is_err() && of(4).is_err() && single(None).is_err());
    }
}
