//! `telemetry` at the top of the file: metrics are always there, and are scraped.

use strongroom_types::Ttl;

use crate::compatibility::TELEMETRY;
use crate::reading::{ConfigError, Section};

const RETENTION: &str = "prometheus_retention_time";

pub(crate) fn judge(section: &Section<'_>, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    TELEMETRY.judge(section, warnings)?;
    let Some(place) = section.place_if_set(RETENTION) else { return Ok(()) };
    let mut retention = Ttl::ZERO;
    section.duration(RETENTION, &mut retention)?;
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

    fn warnings(telemetry: &str) -> Vec<String> {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n\
             telemetry {{\n{telemetry}\n}}"
        );
        Config::parse(&text, "t.hcl").unwrap().warnings
    }

    #[test]
    fn the_usual_block_for_prometheus_is_no_news() {
        let usual = "prometheus_retention_time = \"30s\"\ndisable_hostname = true";
        assert!(warnings(usual).is_empty());
        let off = warnings("prometheus_retention_time = \"0s\"");
        assert!(off[0].contains("prometheus_retention_time has no effect at t.hcl:4:1"), "{off:?}");
        let pushed = warnings("statsd_address = \"127.0.0.1:8125\"");
        assert!(pushed[0].contains("t.hcl:4:1: metrics aren't pushed"), "{pushed:?}");
    }
}
