//! The signature of a form's policy document, version 4 and version 2.
//!
//! Source: "Authenticating requests in browser-based uploads using POST" of the S3 documentation.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use super::{
    Carrier, Mismatch, Secret, Service, SigError, Verifier,
    authorization::{ALGORITHM, parse_scope},
    key::Scope,
    same_signature,
};

/// What a form says of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostSignature<'a> {
    /// Version 4.
    V4 {
        /// `x-amz-algorithm`.
        algorithm: &'a str,
        /// `x-amz-credential`.
        credential: &'a str,
        /// `x-amz-date`.
        date: &'a str,
        /// `x-amz-signature`.
        signature: &'a str,
    },
    /// Version 2.
    V2 {
        /// `AWSAccessKeyId`.
        access_key: &'a str,
        /// `signature`.
        signature: &'a str,
    },
}

impl Verifier {
    /// Checks the signature of a policy document, which is signed as it stands in the form: in base 64. Returns the access key. How long it
    /// is valid is said by the document itself.
    ///
    /// # Errors
    /// Any [`SigError`]; the caller refuses the request.
    pub fn verify_post(
        &self,
        policy: &str,
        claimed: &PostSignature<'_>,
        secret_of: impl FnOnce(&str) -> Option<Secret>,
    ) -> Result<String, SigError> {
        match *claimed {
            PostSignature::V4 {
                algorithm,
                credential,
                date,
                signature,
            } => {
                if algorithm != ALGORITHM {
                    return Err(SigError::QueryAlgorithm);
                }
                self.verify_v4(policy, credential, date, signature, secret_of)
            }
            PostSignature::V2 {
                access_key,
                signature,
            } => verify_v2(policy, access_key, signature, secret_of),
        }
    }

    fn verify_v4(
        &self,
        policy: &str,
        credential: &str,
        date: &str,
        signature: &str,
        secret_of: impl FnOnce(&str) -> Option<Secret>,
    ) -> Result<String, SigError> {
        let carrier = Carrier::Query;
        let scope = parse_scope(credential.into(), carrier)?;
        if *scope.service != *Service::S3.name() {
            return Err(SigError::WrongService {
                carrier,
                expected: Service::S3.name(),
                got: scope.service.into_owned(),
            });
        }
        if *scope.region != self.region {
            return Err(SigError::WrongRegion {
                carrier,
                expected: self.region.clone(),
                got: scope.region.into_owned(),
            });
        }
        if !date.starts_with(&*scope.date) {
            return Err(SigError::CredentialDateMismatch {
                carrier,
                credential: scope.date.into_owned(),
                request: date.to_owned(),
            });
        }
        let access_key = scope.access_key.into_owned();
        let secret = secret_of(&access_key).ok_or_else(|| SigError::UnknownAccessKey {
            access_key: access_key.clone(),
        })?;
        let of_day = Scope {
            date: &scope.date,
            region: &scope.region,
            service: Service::S3.name(),
        };
        let key = self.keys.get(&access_key, &secret, of_day);
        if same_signature(&key.sign(policy.as_bytes()), signature.as_bytes()) {
            return Ok(access_key);
        }
        Err(mismatch(policy, access_key, signature))
    }
}

fn verify_v2(
    policy: &str,
    access_key: &str,
    signature: &str,
    secret_of: impl FnOnce(&str) -> Option<Secret>,
) -> Result<String, SigError> {
    let access_key = access_key.to_owned();
    let Some(secret) = secret_of(&access_key) else {
        return Err(SigError::UnknownAccessKey { access_key });
    };
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes())
        .unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
    mac.update(policy.as_bytes());
    let expected = STANDARD.encode(mac.finalize().into_bytes());
    if bool::from(expected.as_bytes().ct_eq(signature.trim().as_bytes())) {
        return Ok(access_key);
    }
    Err(mismatch(policy, access_key, signature))
}

fn mismatch(policy: &str, access_key: String, signature: &str) -> SigError {
    SigError::Mismatch(Box::new(Mismatch {
        access_key,
        signature_provided: signature.to_owned(),
        string_to_sign: policy.to_owned(),
        canonical_request: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "eyJleHBpcmF0aW9uIjoiMjAxNS0xMi0zMFQxMjowMDowMC4wMDBaIn0=";
    const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request";

    fn secret(access_key: &str) -> Option<Secret> {
        (access_key == "AKIAIOSFODNN7EXAMPLE")
            .then(|| Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    }

    fn v4(policy: &str, credential: &str, date: &str, signature: &str) -> Result<String, SigError> {
        let claimed = PostSignature::V4 {
            algorithm: "AWS4-HMAC-SHA256",
            credential,
            date,
            signature,
        };
        Verifier::new("us-east-1").verify_post(policy, &claimed, secret)
    }

    /// The right signature, as the mismatch does not tell it.
    fn signature_of(policy: &str) -> String {
        let scope = Scope {
            date: "20151229",
            region: "us-east-1",
            service: "s3",
        };
        let key = super::super::SigningKey::derive(&secret("AKIAIOSFODNN7EXAMPLE").unwrap(), scope);
        hex::encode(key.sign(policy.as_bytes()))
    }

    #[test]
    fn only_what_was_signed_with_the_secret_passes() {
        let signature = signature_of(POLICY);
        let date = "20151229T000000Z";
        assert_eq!(
            v4(POLICY, CREDENTIAL, date, &signature).unwrap(),
            "AKIAIOSFODNN7EXAMPLE"
        );
        let other = signature_of("e30=");
        assert!(matches!(
            v4(POLICY, CREDENTIAL, date, &other),
            Err(SigError::Mismatch(_))
        ));
        assert!(matches!(
            v4(POLICY, CREDENTIAL, date, "x"),
            Err(SigError::Mismatch(_))
        ));
        let unknown = CREDENTIAL.replace("EXAMPLE", "UNKNOWN");
        assert!(matches!(
            v4(POLICY, &unknown, date, &signature),
            Err(SigError::UnknownAccessKey { .. })
        ));
        let elsewhere = CREDENTIAL.replace("us-east-1", "eu-west-1");
        assert!(matches!(
            v4(POLICY, &elsewhere, date, &signature),
            Err(SigError::WrongRegion { .. })
        ));
        assert!(matches!(
            v4(POLICY, CREDENTIAL, "20151230T000000Z", &signature),
            Err(SigError::CredentialDateMismatch { .. })
        ));
        assert!(v4(POLICY, "AKIA/x", date, &signature).is_err());
    }

    /// The example of "Examples: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)": policy and signature as they stand there.
    #[test]
    fn the_example_of_the_documentation() {
        let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
        let signature = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";
        assert!(v4(policy, CREDENTIAL, "20151229T000000Z", signature).is_ok());
    }

    #[test]
    fn version_2() {
        let verify = |signature: &str| {
            let claimed = PostSignature::V2 {
                access_key: "AKIAIOSFODNN7EXAMPLE",
                signature,
            };
            Verifier::new("us-east-1").verify_post(POLICY, &claimed, secret)
        };
        let mut mac =
            Hmac::<Sha1>::new_from_slice(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap();
        mac.update(POLICY.as_bytes());
        assert!(verify(&STANDARD.encode(mac.finalize().into_bytes())).is_ok());
        assert!(verify("AAAA").is_err());
    }
}
