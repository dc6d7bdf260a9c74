//! Calls of Firehose's API, by the AWS SDK: credentials, signatures, endpoints and time-outs are the SDK's.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_firehose::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{DeliveryStreamStatus, Record};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::net::tls::lasting_fault;
use crate::sink::answer::{FIREHOSE, Known, Meaning, judge};

/// Records of a call.
pub const MAX_RECORDS: usize = 500;
/// Bytes of a call's body: 4 MiB, base64 and what stands around it counted.
pub const MAX_BODY: usize = 4_194_304;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What calls are made with. What isn't given is found as all programs that use AWS find it: environment, profile,
/// container, instance.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    pub stream: String,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
}

/// Why a call did nothing.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// What the answer, or that there was none, means.
    Answer(Meaning, String),
    /// There are no credentials. Once there were some, they may come again: a machine's are fetched anew now and then.
    NoCredentials(String),
}

/// What became of each record of a call, in order: its id is left out, an error judged and told.
pub type Results = Vec<Result<(), (Meaning, String)>>;

/// What is known of the stream.
#[derive(Debug, PartialEq)]
pub enum Status {
    Active,
    /// It will be.
    Creating,
    /// It may not be asked, which isn't needed for sending.
    Unknown(String),
}

/// Talks to one delivery stream.
pub struct Client {
    options: ClientOptions,
    config: SdkConfig,
    firehose: aws_sdk_firehose::Client,
}

impl Client {
    /// Finds region and credentials.
    ///
    /// # Errors
    /// A sentence for the user when there is no region.
    pub async fn new(options: ClientOptions) -> Result<Client, String> {
        // HTTP_PROXY, HTTPS_PROXY and NO_PROXY, which the SDK looks at only if it is told to.
        let http = aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
            let mut connector = Connector::builder()
                .proxy_config(ProxyConfig::from_env())
                .tls_provider(Provider::Rustls(CryptoMode::Ring));
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            connector.build()
        });
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(CALL_TIMEOUT).build();
        // What fails is tried again by the sender, which knows of the others. The SDK's second attempt is for what it
        // alone can mend: a clock that is wrong, credentials that expire meanwhile.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2));
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err("no region; --region NAME, AWS_REGION, or a profile with one".into());
        }
        let mut firehose = aws_sdk_firehose::config::Builder::from(&config);
        if let Some(url) = &options.endpoint_url {
            firehose = firehose.endpoint_url(url);
        }
        let firehose = aws_sdk_firehose::Client::from_conf(firehose.build());
        Ok(Client { options, config, firehose })
    }

    /// The same with credentials read anew.
    pub async fn renewed(&self) -> Result<Client, String> {
        Client::new(self.options.clone()).await
    }

    /// The account's number.
    pub async fn account(&self) -> Result<String, String> {
        let sts = aws_sdk_sts::Client::new(&self.config);
        let identity = sts.get_caller_identity().send().await.map_err(|error| first_line(&error))?;
        identity.account.ok_or_else(|| "the answer has no account".into())
    }

    pub async fn status(&self) -> Result<Status, Refusal> {
        let call = self.firehose.describe_delivery_stream().delivery_stream_name(&self.options.stream);
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) if is_denied(&error) => return Ok(Status::Unknown(first_line(&error))),
            Err(error) => return Err(self.refusal(&error)),
        };
        let status = answer.delivery_stream_description.map(|description| description.delivery_stream_status);
        match status {
            Some(DeliveryStreamStatus::Active) => Ok(Status::Active),
            Some(DeliveryStreamStatus::Creating) => Ok(Status::Creating),
            Some(
                status @ (DeliveryStreamStatus::Deleting
                | DeliveryStreamStatus::DeletingFailed
                | DeliveryStreamStatus::CreatingFailed),
            ) => Err(Refusal::Answer(
                Meaning::Closed,
                format!("stream {}: it is {}", self.options.stream, status.as_str()),
            )),
            other => Ok(Status::Unknown(format!("the answer says {other:?}"))),
        }
    }

    /// Sends records, at most [`MAX_RECORDS`].
    pub async fn put(&self, records: Vec<Vec<u8>>) -> Result<Results, Refusal> {
        let count = records.len();
        // Data is there, which is all that a record has to have.
        let records = records.into_iter().filter_map(|data| Record::builder().data(Blob::new(data)).build().ok());
        let call = self.firehose.put_record_batch().delivery_stream_name(&self.options.stream);
        let answer = call.set_records(Some(records.collect())).send().await.map_err(|error| self.refusal(&error))?;
        let mut results: Results = answer
            .request_responses
            .into_iter()
            .map(|entry| match (entry.record_id, entry.error_code) {
                (Some(_), None) => Ok(()),
                (_, code) => {
                    let code = code.unwrap_or_else(|| "no record id".into());
                    let reason = format!("{code}: {}", entry.error_message.unwrap_or_default());
                    // A record's error comes in an answer of its own kind: without a name that is known it may pass.
                    match judge(FIREHOSE, 200, Known { error: &code, ..Known::default() }) {
                        Meaning::Refused => Err((Meaning::Refused, reason)),
                        _ => Err((Meaning::Wait, reason)),
                    }
                }
            })
            .collect();
        // What isn't answered isn't delivered.
        results.resize_with(count, || Err((Meaning::Unclear, "the answer has nothing for it".into())));
        Ok(results)
    }

    fn refusal<E: ProvideErrorMetadata + std::error::Error + 'static>(&self, error: &SdkError<E>) -> Refusal {
        let text = first_line(error);
        let code = error.code().unwrap_or_default();
        // The code may have a name space before it, or an address behind.
        let code = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let meaning = match error {
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) if text.contains("credentials") => {
                let words = format!("no AWS credentials, by environment, --profile or instance: {text}");
                return Refusal::NoCredentials(words);
            }
            SdkError::ConstructionFailure(_) => Meaning::Closed,
            SdkError::DispatchFailure(failure) if failure.is_user() => Meaning::Closed,
            SdkError::DispatchFailure(_) => match lasting_fault(error) {
                Some(fault) => return Refusal::Answer(Meaning::Closed, fault),
                // Refused, cut, reset …
                None => Meaning::Unclear,
            },
            SdkError::TimeoutError(_) => Meaning::Unclear,
            _ => {
                let status = error.raw_response().map_or(500, |response| response.status().as_u16());
                judge(FIREHOSE, status, Known { error: code, ..Known::default() })
            }
        };
        if code == "ResourceNotFoundException" {
            let region = self.config.region().map(Region::as_ref).unwrap_or_default();
            return Refusal::Answer(meaning, format!("stream {} is not in {region}: {text}", self.options.stream));
        }
        Refusal::Answer(meaning, text)
    }
}

fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code().is_some_and(|code| code.contains("AccessDenied") || code.contains("UnknownOperation"))
}

/// What is wrong, without the structures that the SDK prints behind it.
fn first_line<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> String {
    if let Some(code) = error.code() {
        return format!("{code}: {}", error.message().unwrap_or_default());
    }
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}
