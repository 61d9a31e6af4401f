//! [`LogOutput`]: where log lines are written to.

use std::io::{self, Write};

use crate::log_file::LogFile;

/// Writes whole log lines. Lines of different threads must not be mixed.
pub(crate) trait WriteLine: Send + Sync + 'static {
    /// Writes a line, which ends with a line break.
    fn write_line(&self, line: &str);
}

/// Standard error, and a log file if there is one.
#[derive(Debug)]
pub(crate) struct LogOutput {
    pub(crate) file: Option<LogFile>,
}

impl WriteLine for LogOutput {
    /// Usually writes the line with one system call each; a lock is held until all of it is
    /// written. If the file can't be written, standard error says so after the line.
    fn write_line(&self, line: &str) {
        let written = self.file.as_ref().map(|file| file.write_line(line));
        let mut stderr = io::stderr().lock();
        // There is nowhere to report that standard error can't be written.
        let _ = stderr.write_all(line.as_bytes());
        if let Some(Err(error)) = written {
            let _ =
                stderr.write_all(format!("the log file can't be written: {error}\n").as_bytes());
        }
    }
}
