//! The protocol's answers: HTTP status, code, text.

pub type Answer = (u16, u64, &'static str);

pub const SUCCESS: Answer = (200, 0, "Success");
pub const TOKEN_REQUIRED: Answer = (401, 2, "Token is required");
pub const INVALID_AUTHORIZATION: Answer = (401, 3, "Invalid authorization");
pub const INVALID_TOKEN: Answer = (403, 4, "Invalid token");
pub const NO_DATA: Answer = (400, 5, "No data");
pub const INVALID_FORMAT: Answer = (400, 6, "Invalid data format");
pub const BUSY: Answer = (503, 9, "Server is busy");
pub const NO_CHANNEL: Answer = (400, 10, "Data channel is missing");
pub const INVALID_CHANNEL: Answer = (400, 11, "Invalid data channel");
pub const EVENT_REQUIRED: Answer = (400, 12, "Event field is required");
pub const EVENT_BLANK: Answer = (400, 13, "Event field cannot be blank");
pub const INVALID_FIELDS: Answer = (400, 15, "Error in handling indexed fields");
pub const HEALTHY: Answer = (200, 17, "HEC is healthy");
// Splunk answers these without a code of its own.
pub const NOT_FOUND: Answer = (404, 404, "The requested URL was not found on this server.");
pub const NO_SUCH_METHOD: Answer = (405, 405, "The requested URL was not found on this server.");
pub const TIMEOUT: Answer = (408, 408, "Request timeout");
pub const TOO_LARGE: Answer = (413, 413, "Content too large");
pub const UNSUPPORTED_ENCODING: Answer = (415, 415, "Unsupported content encoding");
