//! Compares the memory that parsed fields take with the estimate. The only test of its process, so
//! that nothing else allocates meanwhile.

use strongroom_types::Fields;
use strongroom_types::fields::JsonLimits;

#[test]
fn cve_2023_6337_and_sr_2026_05_fields_take_no_more_than_they_weigh() {
    let resident_bytes = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    };
    let limits = JsonLimits::default();
    let fields: Vec<String> = (0..1999).map(|n| format!("\"f{n}\":1")).collect();
    let body = format!("{{{}}}", fields.join(","));
    let weight = Fields::check_body(body.as_bytes(), &limits).unwrap().estimated_bytes();
    assert!(weight > 15 * body.len(), "the fields are what weighs here");
    let before = resident_bytes();
    let kept: Vec<Fields> =
        (0..200).map(|_| Fields::parse(body.as_bytes(), &limits).unwrap()).collect();
    let grown = resident_bytes() - before;
    assert_eq!(kept.iter().map(Fields::len).sum::<usize>(), 200 * 1999);
    assert!(grown <= 200 * weight, "{grown} bytes for {} weighed", 200 * weight);
    assert!(grown >= 200 * weight / 3, "{grown} bytes for {} weighed", 200 * weight);
}
