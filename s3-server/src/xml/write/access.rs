//! Answers about access.

use super::{Owner, writer::Writer};
use crate::access::{Ownership, PublicAccessBlock};

/// Somebody of an access control list, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownGrantee {
    /// An account.
    Account(Owner),
    /// A group.
    Group(String),
}

/// `AccessControlPolicy`: the owner, and who is granted what.
pub fn access_control_policy(owner: &Owner, grants: &[(ShownGrantee, &str)]) -> String {
    const XSI: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=";
    let mut w = Writer::new("AccessControlPolicy", 256 + grants.len() * 256);
    w.owner("Owner", Some(owner));
    w.nested("AccessControlList", |w| {
        for (grantee, permission) in grants {
            w.nested("Grant", |w| {
                match grantee {
                    ShownGrantee::Account(account) => {
                        w.open(&format!("Grantee {XSI}\"CanonicalUser\""));
                        w.text("ID", &account.id);
                        w.text("DisplayName", &account.display_name);
                    }
                    ShownGrantee::Group(uri) => {
                        w.open(&format!("Grantee {XSI}\"Group\""));
                        w.text("URI", uri);
                    }
                }
                w.close("Grantee");
                w.text("Permission", permission);
            });
        }
    });
    w.finish()
}

/// `PublicAccessBlockConfiguration`.
pub fn public_access_block(block: PublicAccessBlock) -> String {
    let mut w = Writer::new("PublicAccessBlockConfiguration", 256);
    w.value("BlockPublicAcls", block.block_public_acls);
    w.value("IgnorePublicAcls", block.ignore_public_acls);
    w.value("BlockPublicPolicy", block.block_public_policy);
    w.value("RestrictPublicBuckets", block.restrict_public_buckets);
    w.finish()
}

/// `OwnershipControls`.
pub fn ownership_controls(ownership: Ownership) -> String {
    let mut w = Writer::new("OwnershipControls", 128);
    w.nested("Rule", |w| w.text("ObjectOwnership", ownership.as_str()));
    w.finish()
}

/// `PolicyStatus`.
pub fn policy_status(is_public: bool) -> String {
    let mut w = Writer::new("PolicyStatus", 128);
    w.value("IsPublic", is_public);
    w.finish()
}
