//! Someone who can write or restore a store controls the catalog and the mount table in it. So the
//! checks made when a plug-in is registered are repeated each time it is launched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_barrier::{Barrier, Batch, SealConfig, UnsealAttempt};
use strongroom_config::Config;
use strongroom_core::{
    Core, CoreDependencies, CoreRequest, Error, RequestHead, RequestHeaders, Settings, Verb,
};
use strongroom_crypto::SystemEntropy;
use strongroom_crypto::digest::sha256;
use strongroom_mounts::entry::MountEntry;
use strongroom_mounts::plugins::{PluginKind, PluginSpec, RunningPlugin};
use strongroom_storage::memory::MemoryStorage;
use strongroom_telemetry::MetricsExporter;
use strongroom_types::clock::SystemClock;
use strongroom_types::fields::JsonLimits;
use strongroom_types::{Fields, Secret};

use crate::Options;
use crate::plugins::EngineLauncher;

/// The stored form of a registration.
#[derive(serde::Serialize)]
struct StoredPluginSpec<'a> {
    v: u8,
    #[serde(flatten)]
    spec: &'a PluginSpec,
}

struct RestoreFixture {
    root: tempfile::TempDir,
    physical: Arc<MemoryStorage>,
    share: Secret<Vec<u8>>,
    token: Secret<String>,
}

impl RestoreFixture {
    /// A server with a mount, and a program outside of its plug-in folder that leaves a mark if
    /// run.
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["bin", "etc/plugins", "tmp"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        set_mode(root.path(), 0o755);
        for name in ["bin/x", "etc/plugins/fit"] {
            fs::copy("/bin/touch", root.path().join(name)).unwrap();
            set_mode(&root.path().join(name), 0o755);
        }
        set_mode(&root.path().join("etc/plugins"), 0o755);
        let physical = Arc::new(MemoryStorage::new());
        let core = Self::new_core(root.path(), &physical);
        let mut made = core.initialise(SealConfig::new(1, 1).unwrap(), None).await.unwrap();
        let (share, token) = (made.shares.pop().unwrap(), made.root_token);
        let scene = Self { root, physical, share, token };
        core.unseal(scene.key_share()).await.unwrap();
        scene.write(&core, "sys/mounts/stored", r#"{"type":"kv"}"#).await.unwrap();
        core.seal().await.unwrap();
        scene
    }

    fn new_core(root: &Path, physical: &Arc<MemoryStorage>) -> Core {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n\
             plugin_directory = {:?}\nplugin_tmpdir = {:?}",
            root.join("etc/plugins"),
            root.join("tmp"),
        );
        let options = Options {
            config: Config::parse(&text, "t.hcl").unwrap(),
            version: "2.0.0".to_owned(),
            build_date: String::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            exporter: MetricsExporter::detached(),
        };
        let parts = CoreDependencies {
            physical: physical.clone(),
            plugin_launcher: Arc::new(EngineLauncher::new(&options).unwrap()),
            clock: options.clock,
            entropy: options.entropy,
            exporter: options.exporter,
        };
        Core::new(parts, strongroom_system::BUILT_INS, Settings::default())
    }

    fn key_share(&self) -> Secret<Vec<u8>> {
        Secret::new(self.share.expose_secret().clone())
    }

    fn marker_file(&self) -> PathBuf {
        self.root.path().join("mark")
    }

    /// A plug-in that would leave the mark if it were run.
    fn plugin_spec(&self, command: &str) -> PluginSpec {
        let file = fs::read(self.root.path().join("etc/plugins").join(command)).unwrap();
        let digest = sha256(&file);
        PluginSpec {
            name: "restored".to_owned(),
            kind: PluginKind::Secret,
            version: String::new(),
            command: command.to_owned(),
            args: vec![self.marker_file().to_str().unwrap().to_owned()],
            env: Vec::new(),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Writes the plug-in into the catalog and into the mount, and starts a server from that store.
    /// Returns the errors of that mount and of a new mount made from the catalog entry.
    async fn mount_errors_after_restore(&self, spec: &PluginSpec) -> [String; 2] {
        let options = strongroom_barrier::BarrierOptions {
            physical: self.physical.clone(),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::new(SystemClock),
            cache_bytes: 1 << 20,
        };
        let mut unsealing = UnsealAttempt::new(SealConfig::new(1, 1).unwrap());
        let shares = unsealing.add_share(self.key_share(), &SystemEntropy).unwrap();
        let barrier: Barrier =
            shares.open_barrier(options).await.unwrap().unwrap_or_else(|_| panic!());
        let (catalog, mounts) =
            (barrier.view("core/plugin-catalog/"), barrier.view("core/mounts/"));
        let mut batch = Batch::new();
        catalog.put_json(&mut batch, "secret/restored/-", &StoredPluginSpec { v: 1, spec });
        for key in mounts.list_keys("", None, 100).await.unwrap() {
            let mut entry: MountEntry = mounts.get_json(&key).await.unwrap().unwrap();
            if entry.path == "stored/" {
                entry.mount_type = "restored".to_owned();
                entry.running =
                    Some(RunningPlugin { version: String::new(), plugin: Some(spec.clone()) });
                mounts.put_json(&mut batch, &key, &entry);
            }
        }
        barrier.commit(batch).await.unwrap();
        drop(barrier);
        let core = Self::new_core(self.root.path(), &self.physical);
        core.unseal(self.key_share()).await.unwrap();
        let stored = self.write(&core, "stored/a", "{}").await.unwrap_err().to_string();
        let mounted = self.write(&core, "sys/mounts/new", r#"{"type":"restored"}"#).await;
        core.seal().await.unwrap();
        [stored, mounted.unwrap_err().to_string()]
    }

    async fn write(&self, core: &Core, path: &str, body: &str) -> Result<(), Error> {
        let token = Secret::from_text(self.token.expose_secret());
        let permit = core.admit(RequestHead { path, token: Some(&token), address: None }).await?;
        let request = CoreRequest {
            span: core.begin_request(),
            verb: Verb::Write,
            path: path.to_owned(),
            fields: Fields::parse(body.as_bytes(), &JsonLimits::default()).unwrap(),
            raw_body: None,
            token: Some(token),
            headers: RequestHeaders::default(),
            connection: None,
        };
        core.handle(permit, request).await.map(drop)
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn cve_2026_105816_what_a_restored_store_names_is_judged_before_it_is_run() {
    let scene = RestoreFixture::new().await;
    let fit = scene.plugin_spec("fit");
    let variable = |text: &str| PluginSpec { env: vec![text.to_owned()], ..fit.clone() };
    for (hostile, said) in [
        (scene.plugin_spec("../../bin/x"), "it must be the name of a file in the plug-in folder"),
        (
            scene.plugin_spec("../plugins/fit"),
            "it must be the name of a file in the plug-in folder",
        ),
        (variable("LD_PRELOAD=/tmp/x.so"), "LD_PRELOAD"),
        (variable("BASH_ENV=/tmp/x"), "BASH_ENV"),
        (
            PluginSpec {
                args: vec![scene.marker_file().to_str().unwrap().to_owned(), "a\0b".to_owned()],
                ..fit.clone()
            },
            "contains a NUL character",
        ),
        (PluginSpec { sha256: "00".repeat(32), ..fit.clone() }, "checksums did not match"),
    ] {
        for told in scene.mount_errors_after_restore(&hostile).await {
            assert!(told.contains(said), "{hostile:?}: {told}");
        }
        assert!(!scene.marker_file().exists(), "{hostile:?} was run");
    }
    // The control: a valid program is run, and fails only because it isn't a plug-in.
    for told in scene.mount_errors_after_restore(&fit).await {
        assert!(told.contains("before it was ready"), "{told}");
    }
    assert!(scene.marker_file().exists(), "nothing can leave the mark");
}
