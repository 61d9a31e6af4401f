//! Reads figures of this process and of the disk from `/proc`. Linux only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// The processor time of this process so far, over all threads.
pub fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The fields utime and stime, in ticks of 10 ms.
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The resident memory of this process that is not backed by files, in MiB.
pub fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// The bytes written so far to the device that holds `path`, by all processes.
pub fn device_written(path: &Path) -> u64 {
    let device = fs::metadata(path).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stats = fs::read_to_string("/proc/diskstats").unwrap();
    let numbers = stats.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours =
        |fields: &Vec<&str>| fields[0].parse() == Ok(major) && fields[1].parse() == Ok(minor);
    // The unit is sectors of 512 bytes; 0 if the file system has no device of its own.
    numbers.into_iter().find(ours).map_or(0, |fields| fields[9].parse::<u64>().unwrap() * 512)
}

/// The disk space that a folder occupies, in MiB.
pub fn folder_mib(path: &Path) -> u64 {
    fn bytes(path: &Path) -> u64 {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        let size = |entry: fs::DirEntry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        };
        entries.map(size).sum()
    }
    bytes(path) >> 20
}

/// Drops the kernel's page cache; returns false if this process lacks the permission.
pub fn drop_file_cache() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
