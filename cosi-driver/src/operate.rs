//! What operators ask: which accounts nobody has any more, what moves a cluster to v1alpha2, and what is wrong. Looks at the cluster and at the store; only
//! [`orphans::delete`] changes anything.

pub mod doctor;
pub mod migrate;
pub mod orphans;

use std::fmt::Debug;

use kube::{Api, Client, api::ListParams};
use serde::de::DeserializeOwned;

use crate::{
    kube::{Bucket, BucketAccess, BucketAccessClass, BucketClaim, BucketClass},
    provision::{AccountSummary, BucketSummary, ProvisionError, Provisioner},
};

/// Why something couldn't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The cluster doesn't answer as it should.
    #[error("the cluster: {0}")]
    Cluster(#[from] kube::Error),
    /// The store doesn't.
    #[error("Larder: {0}")]
    Store(#[from] ProvisionError),
    /// Something is not done on the word of so little.
    #[error("{0}")]
    Doubtful(String),
}

/// Everything that there is of COSI, in the cluster and in the store.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Of all drivers.
    pub bucket_classes: Vec<BucketClass>,
    /// Of all drivers.
    pub access_classes: Vec<BucketAccessClass>,
    /// Of all drivers.
    pub buckets: Vec<Bucket>,
    /// Of all drivers.
    pub claims: Vec<BucketClaim>,
    /// Of all drivers.
    pub accesses: Vec<BucketAccess>,
    /// What this driver made in the store.
    pub accounts: Vec<AccountSummary>,
    /// What this driver made in the store.
    pub stored: Vec<BucketSummary>,
}

impl World {
    /// Looks at both. The store comes first: what is granted in between is an access without an account, never an account without an access.
    ///
    /// # Errors
    /// One of them can't be looked at.
    pub async fn load(client: &Client, provisioner: &Provisioner) -> Result<Self, OperateError> {
        Ok(Self {
            accounts: provisioner.accounts().await?,
            stored: provisioner.buckets().await?,
            ..Self::of_cluster(client).await?
        })
    }

    /// Looks at the cluster alone.
    ///
    /// # Errors
    /// It can't be looked at.
    pub async fn of_cluster(client: &Client) -> Result<Self, OperateError> {
        Ok(Self {
            bucket_classes: all(client).await?,
            access_classes: all(client).await?,
            buckets: all(client).await?,
            claims: all(client).await?,
            accesses: all(client).await?,
            ..Self::default()
        })
    }
}

async fn all<K>(client: &Client) -> kube::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let listed = Api::<K>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    Ok(listed.items)
}

#[cfg(test)]
mod tests;
