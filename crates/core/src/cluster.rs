//! The name and id of the cluster, as stored at initialisation.

use serde::{Deserialize, Serialize};
use strongroom_barrier::{Barrier, Batch};
use strongroom_engine::ClusterInfo;

use crate::error::Error;

const CORE_VIEW: &str = "core/";
const CLUSTER_KEY: &str = "cluster";

/// The stored name and id of the cluster.
#[derive(Serialize, Deserialize)]
struct ClusterRecord {
    v: u8,
    name: String,
    id: String,
}

/// Adds the cluster record to the batch that initialises a store. Without a name, one is generated.
pub(crate) fn prepare_cluster(barrier: &Barrier, batch: &mut Batch, name: Option<&str>) {
    let entropy = barrier.entropy();
    let generated = || format!("vault-cluster-{:08x}", entropy.next_u64() & 0xffff_ffff);
    let name = name.map_or_else(generated, str::to_owned);
    let record = ClusterRecord { v: 1, name, id: entropy.uuid() };
    barrier.view(CORE_VIEW).put_json(batch, CLUSTER_KEY, &record);
}

/// Reads the cluster record; an `Internal` error if it is missing.
pub(crate) async fn load_cluster(barrier: &Barrier) -> Result<ClusterInfo, Error> {
    let record: Option<ClusterRecord> = barrier.view(CORE_VIEW).get_json(CLUSTER_KEY).await?;
    let record = record.ok_or_else(|| Error::internal("the cluster's names are missing"))?;
    Ok(ClusterInfo { name: record.name, id: record.id })
}
