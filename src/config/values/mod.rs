//! What values are before anybody knows what they mean: where they were written, which of several
//! counts, texts as paths, numbers and durations, and the report of all that is wrong.

mod error;
mod layer;
pub(in crate::config) mod paths;
mod raw;
pub(in crate::config) mod text;

pub use self::error::{ConfigError, ConfigErrors, Origin};
pub(in crate::config) use self::error::{Problems, Report};
pub(in crate::config) use self::layer::{Layer, Layered, Sourced};
pub(in crate::config) use self::raw::{Raw, Table, all, unknown_key};
pub(in crate::config) use self::text::{listed, meant, shown};
