//! `BucketAccess`es in standalone mode: each gets an account in the store and a Secret, as long as its claim is ready.
//!
//! Order, so that a stop at any point leaves nothing behind: finalizer, account, Secret, status; and back: account, Secret, finalizer.

use std::sync::Arc;

use kube::{Api, Resource, ResourceExt, runtime::controller::Action};

use crate::{
    controllers::{
        context::{Context, is_deleting, is_held},
        failure::Failure,
        keys,
        metrics::ACCESS_SECRET,
        secret,
    },
    kube::{
        ACCESS_FINALIZER, BUCKET_ACCESS_FINALIZER, Bucket, BucketAccess, BucketAccessClass,
        BucketAccessStatus, BucketClaim, account_name, apply_status, hold, release,
    },
    provision::{Authentication, Grant},
};

const KIND: &str = "BucketAccess";

/// One look at an access.
pub(crate) async fn reconcile(
    access: Arc<BucketAccess>,
    ctx: Arc<Context>,
) -> Result<Action, Failure> {
    let uid = access.uid().unwrap_or_default();
    let about = async { Some(access.object_ref(&())) };
    let work = async {
        if is_deleting(&*access) {
            depart(&ctx, &access).await
        } else {
            grant(&ctx, &access).await
        }
    };
    Box::pin(ctx.reported(KIND, &uid, about, work)).await
}

async fn grant(ctx: &Context, access: &BucketAccess) -> Result<Action, Failure> {
    let class = class_of(ctx, access).await?;
    if !ctx.is_us(&class.driver_name) {
        return Ok(Action::await_change());
    }
    complete(access)?;
    let accesses: Api<BucketAccess> = ctx.beside(access);
    let held = hold(&accesses, access, ACCESS_FINALIZER, &ctx.mark()).await?;
    let access = held.as_ref().unwrap_or(access);
    let Some(bucket) = bucket_of(ctx, access).await? else {
        return withdraw(ctx, access).await;
    };
    let grant = asked(access, &class, &bucket)?;
    hold_bucket(ctx, &bucket).await?;
    let action = keys::settle(ctx, access, &class, &bucket, &grant).await?;
    show(ctx, &accesses, access, &grant).await?;
    Ok(action)
}

async fn class_of(ctx: &Context, access: &BucketAccess) -> Result<BucketAccessClass, Failure> {
    let name = &access.spec.bucket_access_class_name;
    ctx.access_class(name).await?.ok_or_else(|| {
        Failure::wrong(
            "ClassNotFound",
            format!("there is no BucketAccessClass {name}; `kubectl get bucketaccessclasses` shows those that there are"),
        )
    })
}

fn complete(access: &BucketAccess) -> Result<(), Failure> {
    if access.spec.credentials_secret_name.is_empty() {
        return Err(Failure::wrong(
            "NoSecretName",
            "the access has no credentialsSecretName; give the name of the Secret that is to be made",
        ));
    }
    Ok(())
}

/// The bucket of an access's claim; `None` where the claim is being deleted and nothing is granted for it any more.
async fn bucket_of(ctx: &Context, access: &BucketAccess) -> Result<Option<Bucket>, Failure> {
    let name = &access.spec.bucket_claim_name;
    let claims: Api<BucketClaim> = ctx.beside(access);
    let Some(claim) = claims.get_opt(name).await? else {
        return Err(waits(format!(
            "there is no BucketClaim {name} in this namespace"
        )));
    };
    if is_deleting(&claim) && !access.granted() {
        return Ok(None);
    }
    if !claim.ready() {
        return Err(waits(format!(
            "BucketClaim {name} is not ready yet; its events say why"
        )));
    }
    let bucket = ctx.bucket(claim.bound()).await?;
    let bucket = bucket.filter(|bucket| ctx.is_us(&bucket.spec.driver_name));
    match bucket {
        Some(bucket) if bucket.claim_uid() != claim.meta().uid.as_deref() => Err(Failure::wrong(
            "BucketTaken",
            format!(
                "Bucket {} is not bound to BucketClaim {name}",
                bucket.name_any()
            ),
        )),
        Some(bucket) if bucket.ready() => Ok(Some(bucket)),
        Some(_) => Err(waits(format!(
            "the bucket of BucketClaim {name} is not ready yet"
        ))),
        None => Err(Failure::wrong(
            "OtherDriver",
            format!(
                "the bucket of BucketClaim {name} is not of the driver that the access's class names"
            ),
        )),
    }
}

fn waits(note: String) -> Failure {
    Failure::waits("WaitingForBucket", note)
}

/// What is asked of the store.
pub(crate) fn asked(
    access: &BucketAccess,
    class: &BucketAccessClass,
    bucket: &Bucket,
) -> Result<Grant, Failure> {
    Ok(Grant {
        account: account_of(access),
        buckets: vec![(bucket.id().unwrap_or_default().to_owned(), None)],
        authentication: authentication(access, class)?,
        parameters: class.parameters.clone().unwrap_or_default(),
    })
}

/// The account of an access, whether it was granted already or not.
pub(crate) fn account_of(access: &BucketAccess) -> String {
    let made = || account_name(&access.uid().unwrap_or_default());
    access.account().map_or_else(made, str::to_owned)
}

fn authentication(
    access: &BucketAccess,
    class: &BucketAccessClass,
) -> Result<Authentication, Failure> {
    if class.authentication_type.eq_ignore_ascii_case("Key") {
        return Ok(Authentication::Key);
    }
    if !class.authentication_type.eq_ignore_ascii_case("IAM") {
        return Err(Failure::wrong(
            "WrongAuthenticationType",
            format!(
                "authenticationType {:?} of the class is neither Key nor IAM",
                class.authentication_type
            ),
        ));
    }
    let name = access.service_account().ok_or_else(|| {
        Failure::wrong(
            "NoServiceAccount",
            "the class is for service accounts (authenticationType IAM), and the access has no serviceAccountName; give one, or take a class of type Key",
        )
    })?;
    Ok(Authentication::ServiceAccount {
        namespace: access.namespace().unwrap_or_default(),
        name: name.to_owned(),
    })
}

/// As upstream does: whoever takes over can tell that the bucket has accesses.
async fn hold_bucket(ctx: &Context, bucket: &Bucket) -> Result<(), Failure> {
    if !is_deleting(bucket) {
        hold(&ctx.all(), bucket, BUCKET_ACCESS_FINALIZER, &ctx.mark()).await?;
    }
    Ok(())
}

async fn show(
    ctx: &Context,
    accesses: &Api<BucketAccess>,
    access: &BucketAccess,
    grant: &Grant,
) -> Result<(), Failure> {
    let status = BucketAccessStatus {
        account_id: Some(grant.account.clone()),
        access_granted: true,
    };
    if access.status.as_ref() == Some(&status) {
        return Ok(());
    }
    apply_status(accesses, access, &status).await?;
    if !access.granted() {
        ctx.took(ACCESS_SECRET, access);
    }
    Ok(())
}

/// Takes back what was begun for a claim that is going, so that the claim need not wait for it.
async fn withdraw(ctx: &Context, access: &BucketAccess) -> Result<Action, Failure> {
    undo(ctx, access).await?;
    release(&ctx.beside(access), access, &[ACCESS_FINALIZER]).await?;
    Err(waits(format!(
        "BucketClaim {} is being deleted",
        access.spec.bucket_claim_name
    )))
}

async fn depart(ctx: &Context, access: &BucketAccess) -> Result<Action, Failure> {
    if !is_held(access, ACCESS_FINALIZER) || !is_ours(ctx, access).await? {
        return Ok(Action::await_change());
    }
    undo(ctx, access).await?;
    release(&ctx.beside(access), access, &[ACCESS_FINALIZER]).await?;
    Ok(Action::await_change())
}

/// Account and Secret go. It is as good when they are gone already.
pub(crate) async fn undo(ctx: &Context, access: &BucketAccess) -> Result<(), Failure> {
    ctx.lately.forget(&access.uid().unwrap_or_default());
    ctx.provisioner
        .revoke(&account_of(access))
        .await
        .map_err(|error| Failure::Store("FailedRevokeAccess", error))?;
    secret::remove(ctx, access).await
}

/// Whether an access is this driver's: by its own word, that of its class, or that of its bucket.
pub(crate) async fn is_ours(ctx: &Context, access: &BucketAccess) -> Result<bool, Failure> {
    if ctx.marked(access) {
        return Ok(true);
    }
    let class = ctx
        .access_class(&access.spec.bucket_access_class_name)
        .await?;
    if let Some(class) = class {
        return Ok(ctx.is_us(&class.driver_name));
    }
    let claims: Api<BucketClaim> = ctx.beside(access);
    let claim = claims.get_opt(&access.spec.bucket_claim_name).await?;
    let bucket = ctx
        .bucket(claim.as_ref().and_then(BucketClaim::bound))
        .await?;
    Ok(bucket.is_some_and(|bucket| ctx.is_us(&bucket.spec.driver_name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> BucketAccess {
        let mut access = BucketAccess::named("a");
        access.metadata.namespace = Some("shop".to_owned());
        access.metadata.uid = Some("u".to_owned());
        access
    }

    fn class(kind: &str) -> BucketAccessClass {
        let mut class = BucketAccessClass::named("c");
        kind.clone_into(&mut class.authentication_type);
        class
    }

    #[test]
    fn keys_need_no_service_account() {
        for kind in ["Key", "KEY"] {
            let answer = authentication(&access(), &class(kind)).unwrap();
            assert_eq!(answer, Authentication::Key);
        }
    }

    #[test]
    fn iam_is_for_a_service_account_of_the_accesss_namespace() {
        let mut access = access();
        let told = authentication(&access, &class("IAM")).unwrap_err();
        assert!(told.to_string().contains("serviceAccountName"));
        access.spec.service_account_name = Some("backup".to_owned());
        assert_eq!(
            authentication(&access, &class("IAM")).unwrap(),
            Authentication::ServiceAccount {
                namespace: "shop".to_owned(),
                name: "backup".to_owned()
            }
        );
        assert!(authentication(&access, &class("Password")).is_err());
    }

    #[test]
    fn an_account_keeps_the_name_under_which_it_was_granted() {
        let mut access = access();
        assert_eq!(account_of(&access), "ba-u");
        access.status = Some(BucketAccessStatus {
            account_id: Some("older".to_owned()),
            access_granted: true,
        });
        assert_eq!(account_of(&access), "older");
    }
}
