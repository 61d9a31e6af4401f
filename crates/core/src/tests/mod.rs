//! The core as a whole, in memory, on a clock moved by hand: KV, and an engine that issues
//! credentials of an outside system that the tests can look into.

mod admission;
mod batch_tokens;
mod bench;
mod caches;
mod canonical_paths;
mod capabilities;
mod counters;
mod credentials;
mod cubbyhole;
mod door;
mod durations;
mod held;
mod instance_storage;
mod interleaved;
mod kv;
mod lessons;
mod logged;
mod logins;
mod metrics;
mod mounts;
mod moving;
mod no_echo;
mod not_built;
mod outside;
mod parameters;
mod passwords;
mod policies;
mod refused_features;
mod reload;
mod seal;
mod sealing;
mod token_roles;
mod tokens;
mod too_large;
mod wrapping;
mod wrapping_attacks;

pub(crate) use bench::Bench;
