//! What users, groups and roles have in common: they are found by a name, and hold policies.

use std::collections::BTreeMap;

use super::{
    names::Tag,
    records::{Entity, Group, ManagedPolicy, Role, User},
};

/// Something that requests name.
pub(super) trait Called: Entity {
    /// `User`: its name is the parameter `UserName`.
    const WORD: &'static str;

    fn tags(&self) -> &[Tag] {
        &[]
    }
}

/// Something that holds policies.
pub(super) trait Holder: Called {
    /// The parameter that names it.
    const PARAMETER: &'static str;
    /// Characters that its inline policies may have together, without white space.
    const INLINE_CHARS: usize;

    fn inline(&self) -> &BTreeMap<String, String>;

    fn inline_mut(&mut self) -> &mut BTreeMap<String, String>;

    fn attached(&self) -> &[String];

    fn attached_mut(&mut self) -> &mut Vec<String>;
}

/// A holder that may have a boundary and tags.
pub(super) trait Bounded: Holder {
    fn boundary(&self) -> Option<&String>;

    fn boundary_mut(&mut self) -> &mut Option<String>;

    fn tags_mut(&mut self) -> &mut Vec<Tag>;
}

macro_rules! holder {
    ($kind:ty, $parameter:literal, $chars:literal) => {
        impl Holder for $kind {
            const PARAMETER: &'static str = $parameter;
            const INLINE_CHARS: usize = $chars;

            fn inline(&self) -> &BTreeMap<String, String> {
                &self.policies
            }

            fn inline_mut(&mut self) -> &mut BTreeMap<String, String> {
                &mut self.policies
            }

            fn attached(&self) -> &[String] {
                &self.attached
            }

            fn attached_mut(&mut self) -> &mut Vec<String> {
                &mut self.attached
            }
        }
    };
}

macro_rules! bounded {
    ($kind:ty) => {
        impl Bounded for $kind {
            fn boundary(&self) -> Option<&String> {
                self.boundary.as_ref()
            }

            fn boundary_mut(&mut self) -> &mut Option<String> {
                &mut self.boundary
            }

            fn tags_mut(&mut self) -> &mut Vec<Tag> {
                &mut self.tags
            }
        }
    };
}

holder!(User, "UserName", 2048);
holder!(Group, "GroupName", 5120);
holder!(Role, "RoleName", 10240);
bounded!(User);
bounded!(Role);

impl Called for User {
    const WORD: &'static str = "User";

    fn tags(&self) -> &[Tag] {
        &self.tags
    }
}

impl Called for Group {
    const WORD: &'static str = "Group";
}

impl Called for Role {
    const WORD: &'static str = "Role";

    fn tags(&self) -> &[Tag] {
        &self.tags
    }
}

impl Called for ManagedPolicy {
    const WORD: &'static str = "Policy";

    fn tags(&self) -> &[Tag] {
        &self.tags
    }
}
