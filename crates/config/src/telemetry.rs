//! `telemetry` at the top level. Metrics are always collected, and only scraped.

use strongroom_types::Ttl;

use crate::compatibility::TELEMETRY;
use crate::reading::{ConfigError, ConfigSection};

const RETENTION: &str = "prometheus_retention_time";

pub(crate) fn check_telemetry(
    section: &ConfigSection<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    TELEMETRY.check_section(section, warnings)?;
    let Some(place) = section.location_if_set(RETENTION) else { return Ok(()) };
    let mut retention = Ttl::ZERO;
    section.read_duration(RETENTION, &mut retention)?;
    if retention.is_zero() {
        warnings.push(format!(
            "the setting {RETENTION} has no effect at {place}: metrics are there in Prometheus' \
             format in any case"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn warnings_of(telemetry: &str) -> Vec<String> {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n\
             telemetry {{\n{telemetry}\n}}"
        );
        Config::parse(&text, "t.hcl").unwrap().warnings
    }

    #[test]
    fn prometheus_block_is_accepted() {
        let usual = "prometheus_retention_time = \"30s\"\ndisable_hostname = true";
        assert!(warnings_of(usual).is_empty());
        let off = warnings_of("prometheus_retention_time = \"0s\"");
        assert!(off[0].contains("prometheus_retention_time has no effect at t.hcl:4:1"), "{off:?}");
        let pushed = warnings_of("statsd_address = \"127.0.0.1:8125\"");
        assert!(pushed[0].contains("t.hcl:4:1: metrics aren't pushed"), "{pushed:?}");
    }
}
