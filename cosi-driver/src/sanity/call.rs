//! One call, for scripts: its answer is printed as JSON, a refusal as `{"code": …, "message": …}` with exit status 1.

use std::{future::Future, process::ExitCode};

use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Status;

use super::{
    EXIT_CHECK_FAILED,
    args::CallArgs,
    driver::{Access, Api, Driver},
    say,
};
use crate::{
    cli::Failure,
    grpc::pb::v1alpha1::{
        AuthenticationType, DriverCreateBucketResponse, DriverGrantBucketAccessResponse, protocol,
    },
    provision::Parameters,
    socket,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    name: String,
    bucket_id: String,
    account_id: String,
    parameters: Parameters,
    delete_context: Parameters,
    /// As the protocol calls it: `Key`, `IAM`; or its number.
    authentication_type: Option<Value>,
}

pub(super) async fn run(args: &CallArgs) -> Result<ExitCode, Failure> {
    let driver = Driver::new(socket::path_of(&args.endpoint)?, Api::V1alpha1);
    let asked: Asked = serde_json::from_str(&args.request)?;
    let answer = match args.method.as_str() {
        "DriverGetInfo" => json(driver.name(), |name| json!({"name": name})).await,
        "DriverCreateBucket" => {
            json(
                driver.create_v1alpha1(&asked.name, &asked.parameters),
                created,
            )
            .await
        }
        "DriverDeleteBucket" => {
            json(
                driver.delete(&asked.bucket_id, &asked.delete_context),
                nothing,
            )
            .await
        }
        "DriverGrantBucketAccess" => json(driver.grant_v1alpha1(&asked.access()?), granted).await,
        "DriverRevokeBucketAccess" => {
            json(driver.revoke(&asked.bucket_id, &asked.account_id), nothing).await
        }
        other => return Err(format!("`{other}` is no method of v1alpha1").into()),
    };
    match answer {
        Ok(answer) => say(&answer.to_string()).map(|()| ExitCode::SUCCESS),
        Err(status) => {
            let code = crate::metrics::name_of(status.code());
            say(&json!({"code": code, "message": status.message()}).to_string())?;
            Ok(ExitCode::from(EXIT_CHECK_FAILED))
        }
    }
}

async fn json<T>(
    call: impl Future<Output = Result<T, Status>>,
    show: impl Fn(T) -> Value,
) -> Result<Value, Status> {
    call.await.map(show)
}

fn nothing((): ()) -> Value {
    json!({})
}

fn created(answer: DriverCreateBucketResponse) -> Value {
    let region = answer.bucket_info.and_then(|it| match it.r#type {
        Some(protocol::Type::S3(s3)) => Some(s3.region),
        _ => None,
    });
    json!({"bucket_id": answer.bucket_id, "bucket_info": {"s3": {"region": region}}})
}

fn granted(answer: DriverGrantBucketAccessResponse) -> Value {
    let credentials = answer.credentials.into_iter();
    let credentials: serde_json::Map<_, _> = credentials
        .map(|(name, details)| (name, json!({"secrets": details.secrets})))
        .collect();
    json!({"account_id": answer.account_id, "credentials": credentials})
}

impl Asked {
    fn access(self) -> Result<Access, Failure> {
        let authentication = match self.authentication_type {
            None => AuthenticationType::Key.into(),
            Some(Value::Number(number)) => i32::try_from(number.as_i64().unwrap_or_default())?,
            Some(Value::String(name)) => AuthenticationType::from_str_name(&name)
                .ok_or_else(|| format!("`{name}` is no AuthenticationType"))?
                .into(),
            Some(other) => return Err(format!("{other} is no AuthenticationType").into()),
        };
        Ok(Access {
            parameters: self.parameters,
            authentication,
            ..Access::new(&self.bucket_id, &self.name)
        })
    }
}
