//! Composition: the one place where settings, adapters and the core meet.

pub mod serve;
