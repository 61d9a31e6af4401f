//! What the machine says of this process and of the disk. Linux only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Processor time of this process so far, all threads.
pub fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime in ticks of 10 ms.
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Memory of this process that is not file cache, in MiB.
pub fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Bytes written so far to the device that holds `path`, by anybody.
pub fn device_written(path: &Path) -> u64 {
    let device = fs::metadata(path).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stats = fs::read_to_string("/proc/diskstats").unwrap();
    let numbers = stats.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours =
        |fields: &Vec<&str>| fields[0].parse() == Ok(major) && fields[1].parse() == Ok(minor);
    // Sectors of 512 bytes; 0 where the file system is on no device of its own.
    numbers.into_iter().find(ours).map_or(0, |fields| fields[9].parse::<u64>().unwrap() * 512)
}

/// Disk space that a folder takes, in MiB.
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

/// Empties the file cache, where this process may.
pub fn drop_file_cache() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
