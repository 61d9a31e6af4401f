//! The interface between a host and an engine, which a [`Blueprint`](crate::Blueprint) implements
//! from declarations.
//!
//! An engine built from a blueprint needs few of these names: the [`Operation`] of a request, a
//! [`RawResponse`], and in tests [`Existence`]. The others are for code that implements [`Engine`]
//! and [`EngineFactory`] itself.
//!
//! - [`Engine`], [`EngineFactory`] and [`MountContext`]: the engine, its constructor, and the
//!   services passed to it
//! - [`EngineRequest`] and [`EngineResponse`]: one operation on one path, and its result
//! - [`EngineAuth`]: a successful login, as an auth method returns it
//! - [`FoldedPaths`] and [`FieldKinds`]: how an engine normalises paths and field values, so that
//!   policies are checked against the same form
//! - [`EngineError`]: what a call to an engine can fail with
//! - [`Storage`] and [`SystemView`]: the two services that the host provides to an engine

#[doc(inline)]
pub use strongroom_engine::{
    CallerInfo, CanonicalPath, ClusterInfo, ConnectionInfo, DataResponse, Engine, EngineAuth,
    EngineDescription, EngineError, EngineFactory, EngineRequest, EngineResponse, EntityAlias,
    EntityGroup, EntityInfo, Existence, FieldKinds, FoldedPaths, IdentityAlias, LeaseContext,
    LeasedResponse, MountContext, MountInfo, MountKind, MountLifetimes, Operation, RECORD_PREFIX,
    RawRequestBody, RawResponse, RedirectTarget, SpecialPaths, StatusKind, Storage, StorageBatch,
    StorageChange, StorageEntry, StorageError, StoragePrecondition, SystemError, SystemView,
    TaskOutcome, TokenTypeSetting, WrappingToken,
};
