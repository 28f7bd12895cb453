//! The driver dies after each operation of each call in turn, and is started again: nothing is lost, nothing is left behind. And many drivers at once.
//! In memory, and on a real server.

use std::sync::Arc;

use super::{
    Grant, KeyPair, Provisioner,
    testing::{grant, key, of_service_account, on, parameters, settings, yielding},
};
use crate::backend::{
    BackendError, IdentityKind, Interrupted, Interruption, MemoryBackend,
    world::{MemoryWorld, ServerWorld, World},
};

/// What one call is about, each time it is killed something else.
#[derive(Debug)]
struct Names {
    bucket: String,
    account: String,
}

impl Names {
    fn grant(&self) -> Grant {
        grant(&self.account, &[&self.bucket])
    }
}

/// What is tried: a world, and whoever provisions there undisturbed.
struct Trial<'a> {
    world: &'a dyn World,
    provisioner: Provisioner,
}

impl Trial<'_> {
    fn on(world: &dyn World) -> Trial<'_> {
        Trial {
            world,
            provisioner: Provisioner::new(world.backend(), settings()),
        }
    }

    /// Has the driver die after each operation of `call` in turn, each time on what `prepare` has made, and then has `after` call again and look. Answers how
    /// many operations an undisturbed call takes.
    async fn run(
        &self,
        what: &str,
        prepare: impl AsyncFn(&Names),
        call: impl AsyncFn(Provisioner, &Names),
        after: impl AsyncFn(&Names),
    ) -> u64 {
        for nth in 1.. {
            let names = Names {
                bucket: format!("{what}-{nth}"),
                account: format!("ba-{what}-{nth}"),
            };
            prepare(&names).await;
            let crashing = Interrupted::after(self.world.backend(), nth, Interruption::Stop);
            let crashing = Arc::new(crashing);
            let is_done = tokio::select! {
                biased;
                () = crashing.stopped() => false,
                () = call(on(&crashing), &names) => true,
            };
            after(&names).await;
            if is_done {
                return nth - 1;
            }
        }
        unreachable!("a call ends");
    }

    async fn make(&self, names: &Names, class: &[(&str, &str)]) {
        let class = parameters(class);
        let made = self.provisioner.create_bucket(&names.bucket, &class);
        made.await.unwrap();
    }

    async fn fill(&self, names: &Names, class: &[(&str, &str)]) {
        self.make(names, class).await;
        let bucket = &names.bucket;
        self.world.put(bucket, "a").await;
        self.world.put(bucket, "b").await;
        self.world.remove(bucket, "b").await;
        self.world.begin(bucket, "c").await;
    }

    async fn is_gone(&self, names: &Names) -> bool {
        let asked = self.world.backend().bucket_tags(&names.bucket).await;
        matches!(asked, Err(BackendError::NoSuchBucket(_)))
    }

    async fn key_count(&self, names: &Names) -> usize {
        let keys = self.world.backend().access_keys(&names.account).await;
        keys.unwrap().len()
    }

    /// The key that the account is given, which counts.
    async fn working_key(&self, names: &Names) -> KeyPair {
        let granted = self.provisioner.grant(&names.grant()).await.unwrap();
        let pair = key(&granted);
        assert!(self.world.takes(&pair).await);
        pair
    }

    /// Neither a user nor a role is left of the account.
    async fn is_revoked(&self, names: &Names) -> bool {
        let mut left = 0;
        for kind in [IdentityKind::User, IdentityKind::Role] {
            let found = self.world.backend().identity(kind, &names.account).await;
            left += usize::from(found.unwrap().is_some());
        }
        left == 0
    }
}

const CLASS: [(&str, &str); 8] = [
    ("quotaBytes", "10Gi"),
    ("objectLock", "Governance"),
    ("objectLockDays", "3"),
    ("lifecycleExpireDays", "30"),
    ("encryption", "AES256"),
    ("erasureProfile", "1+0"),
    ("tags", "team=db"),
    ("onDelete", "Trash"),
];

async fn creation(trial: &Trial<'_>) -> u64 {
    let create = async |provisioner: Provisioner, names: &Names| {
        let class = parameters(&CLASS);
        let made = provisioner.create_bucket(&names.bucket, &class);
        made.await.unwrap();
    };
    let undisturbed = Names {
        bucket: "undisturbed".to_owned(),
        account: String::new(),
    };
    create(trial.provisioner.clone(), &undisturbed).await;
    let backend = trial.world.backend();
    let look = async |names: &Names| {
        let tags = backend.bucket_tags(&names.bucket).await.unwrap();
        (tags, backend.configuration(&names.bucket).await.unwrap())
    };
    let expected = look(&undisturbed).await;
    assert!(expected.1.versioning && expected.1.quota.bytes.is_some());
    let after = async |names: &Names| {
        create(trial.provisioner.clone(), names).await;
        assert_eq!(look(names).await, expected, "{names:?}");
    };
    trial.run("create", async |_| {}, create, after).await
}

async fn emptying(trial: &Trial<'_>) -> u64 {
    let class = [("versioning", "Enabled"), ("onDelete", "Empty")];
    let none = parameters(&[]);
    let delete = async |provisioner: Provisioner, names: &Names| {
        let deleted = provisioner.delete_bucket(&names.bucket, &none);
        deleted.await.unwrap();
    };
    let prepare = async |names: &Names| trial.fill(names, &class).await;
    let after = async |names: &Names| {
        delete(trial.provisioner.clone(), names).await;
        assert!(trial.is_gone(names).await);
    };
    trial.run("empty", prepare, delete, after).await
}

async fn trash(trial: &Trial<'_>) -> (u64, u64) {
    let class = [("versioning", "Enabled"), ("onDelete", "Trash")];
    let none = parameters(&[]);
    let delete = async |provisioner: Provisioner, names: &Names| {
        let deleted = provisioner.delete_bucket(&names.bucket, &none);
        deleted.await.unwrap();
    };
    let restore = async |provisioner: Provisioner, names: &Names| {
        provisioner.existing_bucket(&names.bucket).await.unwrap();
    };
    let is_shut = async |names: &Names| {
        let policy = trial.world.backend().bucket_policy(&names.bucket).await;
        policy
            .unwrap()
            .is_some_and(|policy| policy.contains("\"Deny\""))
    };
    let is_marked = async |names: &Names| {
        let tags = trial
            .world
            .backend()
            .bucket_tags(&names.bucket)
            .await
            .unwrap();
        tags.contains_key("cosi.larder.dev/trashed-until")
    };
    let fill = async |names: &Names| trial.fill(names, &class).await;
    let in_trash = async |names: &Names| {
        fill(names).await;
        delete(trial.provisioner.clone(), names).await;
    };
    let thrown_away = trial.run("trash", fill, delete, async |names| {
        delete(trial.provisioner.clone(), names).await;
        assert!(is_shut(names).await && is_marked(names).await);
        restore(trial.provisioner.clone(), names).await;
        assert!(!is_shut(names).await && !is_marked(names).await);
    });
    let thrown_away = thrown_away.await;
    let restored = trial.run("restore", in_trash, restore, async |names| {
        restore(trial.provisioner.clone(), names).await;
        assert!(!is_shut(names).await && !is_marked(names).await);
        let versions = trial.world.backend().list_versions(&names.bucket).await;
        assert_eq!(versions.unwrap().versions.len(), 3);
    });
    (thrown_away, restored.await)
}

async fn granting(trial: &Trial<'_>) -> u64 {
    let prepare = async |names: &Names| trial.make(names, &[]).await;
    let call = async |provisioner: Provisioner, names: &Names| {
        provisioner.grant(&names.grant()).await.unwrap();
    };
    let after = async |names: &Names| {
        let pair = trial.working_key(names).await;
        assert_eq!(trial.working_key(names).await, pair);
        assert_eq!(trial.key_count(names).await, 1);
    };
    trial.run("grant", prepare, call, after).await
}

async fn granting_a_role(trial: &Trial<'_>) -> u64 {
    let prepare = async |names: &Names| trial.make(names, &[]).await;
    let call = async |provisioner: Provisioner, names: &Names| {
        let asked = of_service_account(&names.account, &names.bucket);
        provisioner.grant(&asked).await.unwrap();
    };
    let after = async |names: &Names| {
        call(trial.provisioner.clone(), names).await;
        let role = IdentityKind::Role;
        let backend = trial.world.backend();
        let policy = backend
            .identity_policy(role, &names.account, "larder-cosi")
            .await;
        assert!(policy.unwrap().unwrap().contains(&names.bucket));
        trial.provisioner.revoke(&names.account).await.unwrap();
        assert!(trial.is_revoked(names).await);
    };
    trial.run("role", prepare, call, after).await
}

async fn rotating(trial: &Trial<'_>, from: u64, to: u64) -> u64 {
    let prepare = async |names: &Names| {
        trial.make(names, &[]).await;
        trial.working_key(names).await;
        if from > 1 {
            let asked = names.grant();
            trial.provisioner.rotate(&asked, from).await.unwrap();
        }
    };
    let call = async |provisioner: Provisioner, names: &Names| {
        provisioner.rotate(&names.grant(), to).await.unwrap();
    };
    let after = async |names: &Names| {
        let before = trial.working_key(names).await;
        let rotated = trial.provisioner.rotate(&names.grant(), to).await;
        let rotated = key(&rotated.unwrap());
        assert_eq!(trial.working_key(names).await, rotated);
        assert_eq!(trial.key_count(names).await, 2);
        // What was the current key stays until it is retired.
        assert!(trial.world.takes(&before).await);
        trial.provisioner.retire(&names.account, to).await.unwrap();
        assert_eq!(trial.key_count(names).await, 1);
        assert!(trial.world.takes(&rotated).await);
        assert!(before == rotated || !trial.world.takes(&before).await);
    };
    trial
        .run(&format!("rotate-{from}-{to}"), prepare, call, after)
        .await
}

async fn retiring(trial: &Trial<'_>) -> u64 {
    let prepare = async |names: &Names| {
        trial.make(names, &[]).await;
        trial.working_key(names).await;
        let asked = names.grant();
        trial.provisioner.rotate(&asked, 2).await.unwrap();
    };
    let call = async |provisioner: Provisioner, names: &Names| {
        provisioner.retire(&names.account, 2).await.unwrap();
    };
    let after = async |names: &Names| {
        let pair = trial.working_key(names).await;
        call(trial.provisioner.clone(), names).await;
        assert_eq!(trial.key_count(names).await, 1);
        assert_eq!(trial.working_key(names).await, pair);
    };
    trial.run("retire", prepare, call, after).await
}

async fn taking_away(trial: &Trial<'_>) -> (u64, u64) {
    let prepare = async |names: &Names| {
        trial.make(names, &[]).await;
        trial.working_key(names).await;
    };
    let revoke = async |provisioner: Provisioner, names: &Names| {
        provisioner.revoke(&names.account).await.unwrap();
    };
    let disable = async |provisioner: Provisioner, names: &Names| {
        provisioner.disable(&names.account).await.unwrap();
    };
    let revoked = trial.run("revoke", prepare, revoke, async |names| {
        revoke(trial.provisioner.clone(), names).await;
        assert!(trial.is_revoked(names).await);
    });
    let revoked = revoked.await;
    let disabled = trial.run("disable", prepare, disable, async |names| {
        let pair = trial.working_key(names).await;
        disable(trial.provisioner.clone(), names).await;
        assert!(!trial.world.takes(&pair).await);
        assert_eq!(trial.working_key(names).await, pair);
    });
    (revoked, disabled.await)
}

/// Sixteen drivers that know nothing of each other make the same bucket and give the same access, with operations of others between any two of one.
async fn sixteen_at_once(trial: &Trial<'_>) {
    let asked = parameters(&CLASS);
    let drivers: Vec<_> = (0..16)
        .map(|_| on(&yielding(trial.world.backend())))
        .collect();
    let all = drivers
        .iter()
        .map(|driver| driver.create_bucket("sixteen", &asked));
    let answers = futures_util::future::join_all(all).await;
    let is_same = |answer| answer == &answers[0] && answers[0].is_ok();
    assert!(answers.iter().all(is_same), "{answers:?}");
    let asked = grant("ba-sixteen", &["sixteen"]);
    let all = drivers.iter().map(|driver| driver.grant(&asked));
    let answers = futures_util::future::join_all(all).await;
    let is_same = |answer| answer == &answers[0] && answers[0].is_ok();
    assert!(answers.iter().all(is_same), "{answers:?}");
    let keys = trial.world.backend().access_keys("ba-sixteen").await;
    assert_eq!(keys.unwrap().len(), 1);
}

async fn survives(world: &dyn World) {
    let trial = Trial::on(world);
    let operations = creation(&trial).await;
    assert!(operations >= 9, "{operations}");
    assert!(emptying(&trial).await >= 6);
    let (thrown_away, restored) = trash(&trial).await;
    assert!(
        thrown_away >= 5 && restored >= 4,
        "{thrown_away} {restored}"
    );
    assert!(granting(&trial).await >= 6);
    assert!(granting_a_role(&trial).await >= 6);
    assert!(rotating(&trial, 1, 2).await >= 5);
    assert!(rotating(&trial, 3, 7).await >= 7);
    assert!(retiring(&trial).await >= 4);
    let (revoked, disabled) = taking_away(&trial).await;
    assert!(revoked >= 5 && disabled >= 4, "{revoked} {disabled}");
    sixteen_at_once(&trial).await;
}

#[tokio::test]
async fn crashes_on_a_backend_in_memory() {
    survives(&MemoryWorld::default()).await;
}

#[tokio::test]
async fn crashes_on_a_backend_that_takes_no_tags_with_a_new_bucket() {
    let world = MemoryWorld(Arc::new(MemoryBackend::ignoring_tags()));
    assert!(creation(&Trial::on(&world)).await >= 13);
    sixteen_at_once(&Trial::on(&world)).await;
}

#[tokio::test]
async fn crashes_on_a_real_server() {
    if let Some(world) = ServerWorld::start().await {
        survives(&world).await;
    }
}
