//! Tests of the whole core in memory, with a manual clock, KV, and an engine that issues
//! credentials on a fake external system that the tests can inspect.

mod admission;
mod advisories;
mod batch_tokens;
mod blocking_storage;
mod caches;
mod canonical_paths;
mod capabilities;
mod credentials;
mod cubbyhole;
mod dropped_requests;
mod durations;
mod engine_context;
mod engine_tasks;
mod engine_wrapping;
mod fake_auth_method;
mod fake_outside_system;
mod interleaving_storage;
mod kv;
mod logins;
mod metrics;
mod mounts;
mod no_echo;
mod not_built;
mod parameters;
mod passwords;
mod policies;
mod refused_features;
mod reload;
mod remount;
mod seal;
mod sealing;
mod security_log;
mod test_core;
mod test_counters;
mod token_roles;
mod tokens;
mod too_large;
mod wrapping;
mod wrapping_attacks;

pub(crate) use test_core::TestCore;
