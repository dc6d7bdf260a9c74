//! The protobuf schema of Heka's messages and frame headers (message.proto of mozilla-services/heka),
//! as owned values. The hot paths read [`super::MessageView`] instead.

/// The header of a frame. Field 15 is this project's own; other readers skip it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    #[prost(uint32, required, tag = "1")]
    pub message_length: u32,
    /// 0 MD5, 1 SHA1.
    #[prost(int32, optional, tag = "3")]
    pub hmac_hash_function: Option<i32>,
    #[prost(string, optional, tag = "4")]
    pub hmac_signer: Option<String>,
    #[prost(uint32, optional, tag = "5")]
    pub hmac_key_version: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub hmac: Option<Vec<u8>>,
    #[prost(message, optional, tag = "15")]
    pub cursor: Option<Cursor>,
}

/// Where its source resumes after the record that carries it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Cursor {
    /// Names the stream within the source.
    #[prost(string, tag = "1")]
    pub stream: String,
    /// Only grows within a stream.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// The source's own note; opaque to everyone else.
    #[prost(bytes = "vec", tag = "3")]
    pub position: Vec<u8>,
}

/// A Heka message. Strings are bytes, since log lines are not always UTF-8 and must not be mangled.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// 16 bytes, RFC 4122.
    #[prost(bytes = "vec", required, tag = "1")]
    pub uuid: Vec<u8>,
    /// Nanoseconds since 1970-01-01 UTC.
    #[prost(int64, required, tag = "2")]
    pub timestamp: i64,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub r#type: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub logger: Option<Vec<u8>>,
    /// Syslog severity, 0–7; 7 when absent.
    #[prost(int32, optional, tag = "5")]
    pub severity: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub payload: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub env_version: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "8")]
    pub pid: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub hostname: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "10")]
    pub fields: Vec<Field>,
}

/// A named, typed array of values. Which array counts is decided by `value_type` alone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Field {
    #[prost(bytes = "vec", required, tag = "1")]
    pub name: Vec<u8>,
    /// 0 STRING, 1 BYTES, 2 INTEGER, 3 DOUBLE, 4 BOOL; absent means STRING.
    #[prost(int32, optional, tag = "2")]
    pub value_type: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub representation: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub value_string: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub value_bytes: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "6")]
    pub value_integer: Vec<i64>,
    #[prost(double, repeated, tag = "7")]
    pub value_double: Vec<f64>,
    #[prost(bool, repeated, tag = "8")]
    pub value_bool: Vec<bool>,
}
