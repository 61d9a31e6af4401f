//! `telemetry` in a listener: who may read metrics on it.
//!
//! ```
//! # use strongroom_config::Config;
//! let config = Config::parse(
//!     r#"
//!     storage "inmem" {}
//!     listener "tcp" {
//!         address     = "127.0.0.1:9102"
//!         tls_disable = true
//!         telemetry {
//!             unauthenticated_metrics_access = true
//!             metrics_only                   = true
//!             metrics_path                   = "/metrics"
//!         }
//!     }
//!     "#,
//!     "server.hcl",
//! )?;
//! assert!(config.listeners[0].metrics.unauthenticated_access);
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use crate::compatibility::LISTENER_TELEMETRY;
use crate::reading::{ConfigError, ConfigSection};

/// Whether and to whom a listener serves metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Serve metrics without a token, also while the server is sealed.
    pub unauthenticated_access: bool,
    /// Serve no metrics on this listener.
    pub disallow_metrics: bool,
    /// Serve nothing but metrics on this listener.
    pub metrics_only: bool,
    /// The path of the metrics on such a listener; `None` for the API's path.
    pub metrics_path: Option<String>,
}

pub(super) fn read(
    listener: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<MetricsConfig, ConfigError> {
    let mut metrics = MetricsConfig::default();
    for block in listener.blocks::<0>("telemetry")? {
        let section = listener.nested(block.body);
        LISTENER_TELEMETRY.check_section(&section, warnings)?;
        section.read_flag("unauthenticated_metrics_access", &mut metrics.unauthenticated_access)?;
        section.read_flag("disallow_metrics", &mut metrics.disallow_metrics)?;
        section.read_flag("metrics_only", &mut metrics.metrics_only)?;
        if metrics.disallow_metrics && metrics.metrics_only {
            let text = "excludes disallow_metrics: the listener would serve nothing";
            return Err(section.invalid_setting("metrics_only", text));
        }
        let mut path = String::new();
        section.read_text("metrics_path", &mut path)?;
        if path.is_empty() {
            continue;
        }
        if !path.starts_with('/') || path.contains(['?', '#', ' ', '%']) {
            return Err(
                section.invalid_setting("metrics_path", "must be a path such as \"/metrics\"")
            );
        }
        if metrics.metrics_only {
            metrics.metrics_path = Some(path);
        } else {
            let place = section.location_of("metrics_path");
            warnings.push(format!(
                "the setting metrics_path has no effect at {place}: it requires metrics_only = true"
            ));
        }
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(telemetry: &str) -> Result<(MetricsConfig, Vec<String>), String> {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\ntls_disable = true\ntelemetry {{\n{telemetry}\n}}\n}}"
        );
        let config = Config::parse(&text, "t.hcl").map_err(|error| error.to_string())?;
        Ok((config.listeners[0].metrics.clone(), config.warnings))
    }

    #[test]
    fn every_switch_is_read_in_all_forms_of_a_boolean() {
        assert_eq!(read("").unwrap().0, MetricsConfig::default());
        for value in ["true", "\"true\"", "1", "\"1\"", "\"T\""] {
            let text = format!("unauthenticated_metrics_access = {value}");
            let (metrics, warnings) = read(&text).unwrap();
            assert!(metrics.unauthenticated_access && warnings.is_empty(), "{value} {warnings:?}");
        }
        let (metrics, _) = read("metrics_only = true\nmetrics_path = \"/metrics\"").unwrap();
        assert_eq!(
            (metrics.metrics_only, metrics.metrics_path.as_deref()),
            (true, Some("/metrics"))
        );
        assert!(read("disallow_metrics = true").unwrap().0.disallow_metrics);
    }

    #[test]
    fn unknown_settings_warn() {
        let (_, warnings) = read("unauthenticated_metric_access = true").unwrap();
        let text = "unknown or unsupported field unauthenticated_metric_access found in \
                    configuration at t.hcl:5:1";
        assert_eq!(warnings, [text]);
        let (metrics, warnings) = read("metrics_path = \"/metrics\"").unwrap();
        assert!(
            metrics.metrics_path.is_none() && warnings[0].contains("t.hcl:5:1"),
            "{warnings:?}"
        );
        let both = read("disallow_metrics = true\nmetrics_only = true").unwrap_err();
        assert!(both.starts_with("t.hcl:6:1: metrics_only: "), "{both}");
        let relative = read("metrics_only = true\nmetrics_path = \"metrics\"").unwrap_err();
        assert!(relative.starts_with("t.hcl:6:1: metrics_path: "), "{relative}");
        let wrong = read("unauthenticated_metrics_access = \"yes\"").unwrap_err();
        assert!(wrong.starts_with("t.hcl:5:"), "{wrong}");
    }
}
