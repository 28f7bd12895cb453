//! The account of an access and its Secret, kept as they should be; and rotation.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Resource, ResourceExt, runtime::controller::Action};
use serde_json::{Value, json};

use crate::{
    controllers::{
        clock::{now, until},
        contents::contents,
        context::Context,
        failure::Failure,
        rotation::{GENERATION, Keys, OVERLAP_UNTIL, Step},
        secret,
    },
    kube::{Bucket, BucketAccess, BucketAccessClass, merge},
    parameters::AccessParameters,
    provision::{Authentication, Grant, Granted},
};

/// An access with all that it takes to see to it.
struct Matter<'a> {
    ctx: &'a Context,
    access: &'a BucketAccess,
    class: &'a BucketAccessClass,
    bucket: &'a Bucket,
    grant: &'a Grant,
    parameters: AccessParameters,
    keys: Keys,
}

/// Sees to account, Secret and rotation; when to look again.
pub(crate) async fn settle(
    ctx: &Context,
    access: &BucketAccess,
    class: &BucketAccessClass,
    bucket: &Bucket,
    grant: &Grant,
) -> Result<Action, Failure> {
    let parameters = AccessParameters::parse(&grant.parameters)
        .map_err(|error| Failure::Store(FAILED, error))?;
    let keys = Keys::read(access.annotations());
    let matter = Matter {
        ctx,
        access,
        class,
        bucket,
        grant,
        parameters,
        keys,
    };
    match matter.step() {
        Step::Rotate(generation) => matter.rotate(generation).await,
        Step::Retire => matter.retire().await,
        Step::Nothing(next) => matter.keep(next).await,
    }
}

const FAILED: &str = "FailedGrantAccess";

impl Matter<'_> {
    fn step(&self) -> Step {
        let has_key = self.grant.authentication == Authentication::Key;
        if !has_key || !self.access.granted() {
            return Step::Nothing(None);
        }
        let made = self.access.creation_timestamp();
        let since = made.map_or(Timestamp::MAX, |made| made.0);
        self.keys.step(self.parameters.rotate_every, since, now())
    }

    /// Compares with the store, unless that was done not long ago.
    async fn keep(&self, next: Option<Timestamp>) -> Result<Action, Failure> {
        let (uid, state) = (self.access.uid().unwrap_or_default(), self.state());
        let resync = self.ctx.settings.resync;
        if !(self.access.granted() && self.ctx.lately.seen(&uid, &state, resync / 2)) {
            self.write(None).await?;
            self.ctx.lately.note(&uid, state, resync);
        }
        let wait = next.map_or(resync, |next| until(next, now()).min(resync));
        Ok(Action::requeue(wait))
    }

    /// All that the Secret follows from.
    fn state(&self) -> String {
        format!(
            "{:?} {} {:?} {:?} {:?}",
            self.class.resource_version(),
            self.keys.generation,
            self.bucket.id(),
            self.access.spec,
            self.access.meta().generation,
        )
    }

    /// Account and Secret; of the next generation where one is said, else of the one that there is.
    async fn write(&self, next: Option<u64>) -> Result<(), Failure> {
        // Nobody gets an account for a Secret that can't be written.
        secret::find(self.ctx, self.access).await?;
        let granted = self.granted(next).await?;
        let ca = self.ctx.provisioner.settings().ca.as_deref();
        let contents = contents(self.access, self.bucket, &self.parameters, &granted, ca);
        secret::write(self.ctx, self.access, &contents, granted.generation).await?;
        Ok(())
    }

    async fn granted(&self, next: Option<u64>) -> Result<Granted, Failure> {
        let provisioner = &self.ctx.provisioner;
        let answer = match next {
            None => provisioner.grant(self.grant).await,
            Some(generation) => provisioner.rotate(self.grant, generation).await,
        };
        answer.map_err(|error| Failure::Store(FAILED, error))
    }

    /// A stop after any of the steps leads to the same key of the same generation.
    async fn rotate(&self, generation: u64) -> Result<Action, Failure> {
        if let Some(later) = self.later(generation).await? {
            self.annotate(json!({ GENERATION: later.to_string() }))
                .await?;
            return Ok(Action::requeue(Duration::from_secs(1)));
        }
        self.write(Some(generation)).await?;
        let overlap = self.parameters.overlap();
        self.annotate(self.keys.rotated(now(), overlap)).await?;
        let note = format!(
            "there is a new access key in Secret {}; the one before works for another {} minutes",
            self.access.spec.credentials_secret_name,
            overlap.as_secs() / 60
        );
        let about = self.access.object_ref(&());
        self.ctx.events.done(&about, "KeyRotated", note).await;
        Ok(Action::requeue(overlap.min(self.ctx.settings.resync)))
    }

    /// The account's generation where it is beyond this one: somebody has taken the annotations off the access.
    async fn later(&self, generation: u64) -> Result<Option<u64>, Failure> {
        let there = self.granted(None).await?.generation;
        Ok(Some(there).filter(|there| *there > generation))
    }

    async fn retire(&self) -> Result<Action, Failure> {
        self.ctx
            .provisioner
            .retire(&self.grant.account, self.keys.generation)
            .await
            .map_err(|error| Failure::Store("FailedRetireKey", error))?;
        self.annotate(json!({ OVERLAP_UNTIL: null })).await?;
        Ok(self.ctx.resync())
    }

    async fn annotate(&self, annotations: Value) -> Result<(), Failure> {
        let accesses: Api<BucketAccess> = self.ctx.beside(self.access);
        let body = json!({ "metadata": { "annotations": annotations } });
        merge(&accesses, self.access, body).await?;
        Ok(())
    }
}
