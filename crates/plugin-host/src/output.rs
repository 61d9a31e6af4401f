//! Turns a plug-in's output into lines of the server's log.
//!
//! Standard error carries log lines; standard output carries the handshake and nothing after it
//! that matters. What the plug-in's code prints to the streams that it redirects arrives over the
//! connection and is discarded, because authors print secrets while they debug.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_plugin_protocol::log_line::{LineReader, LogLine, MAX_LINE_BYTES, PluginLogLevel};
use strongroom_telemetry::names;
use strongroom_types::Clock;
use strongroom_types::path::is_printable;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The origin of log lines, as it is shown in the log.
#[derive(Debug)]
pub struct LogSource {
    /// The plug-in's name and version.
    pub plugin: String,
    /// The process ID.
    pub pid: u32,
    /// The mounts that the process serves.
    pub mounts: Arc<MountLabels>,
}

/// The labels of the mounts that a process serves, for its log lines.
#[derive(Debug, Default)]
pub struct MountLabels(Mutex<Vec<String>>);

impl MountLabels {
    /// Adds the label of a mount, when its instance joins the process. A label that is added twice
    /// must be removed twice.
    pub fn add(&self, label: &str) {
        self.lock().push(label.to_owned());
    }

    /// Removes the label of a mount, when its instance leaves the process. Nothing happens if it is
    /// not there.
    pub fn remove(&self, label: &str) {
        let mut labels = self.lock();
        if let Some(at) = labels.iter().position(|it| it == label) {
            labels.remove(at);
        }
    }

    fn joined(&self) -> String {
        self.lock().join(",")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The output of a plug-in that explains a failed start: its first line, if that is no handshake,
/// and the last lines of its standard error. Clones share the lines.
#[derive(Clone, Debug, Default)]
pub struct OutputTail(Arc<Mutex<OutputTailInner>>);

#[derive(Debug, Default)]
struct OutputTailInner {
    first_line: String,
    lines: VecDeque<String>,
}

const TAIL_LINES: usize = 50;
const TAIL_LINE_BYTES: usize = 500;
/// How many of the last lines are reported.
const REPORTED_TAIL_LINES: usize = 5;

impl OutputTail {
    fn push_line(&self, line: &LogLine) {
        let mut text = line.message.clone();
        if text.len() > TAIL_LINE_BYTES {
            let end = (0..=TAIL_LINE_BYTES).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
        }
        let lines = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).lines;
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    /// Keeps the line that was read instead of a handshake.
    pub fn keep_first_line(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first_line = printable_excerpt(line);
    }

    /// The line that was read instead of a handshake; empty if the handshake was valid or nothing
    /// was read.
    pub fn first_line(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first_line.clone()
    }

    /// The last few lines of standard error, shortened to printable text. For the log and the
    /// operator who registers the plug-in only, because they may contain anything the author
    /// printed.
    pub fn last_lines(&self) -> Vec<String> {
        let lines = &self.0.lock().unwrap_or_else(PoisonError::into_inner).lines;
        let skipped = lines.len().saturating_sub(REPORTED_TAIL_LINES);
        lines.iter().skip(skipped).map(|line| printable_excerpt(line)).collect()
    }
}

/// How many characters of a line are shown.
const EXCERPT_CHARS: usize = 200;

/// The first 200 characters of a text that a plug-in wrote; control and other unprintable
/// characters become `?`.
pub fn printable_excerpt(text: &str) -> String {
    let text = text.trim();
    let mut shown: String =
        text.chars().take(EXCERPT_CHARS).map(|c| if is_printable(c) { c } else { '?' }).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// How many short lines per second a plug-in may log in the long run.
const RATE: u32 = 200;
/// How many short lines it may log at once after a pause.
const BURST_LINES: u32 = 2000;
/// A longer line counts as several.
const SHORT_LINE_BYTES: usize = 256;

/// A token bucket that limits the log lines of a process.
#[derive(Debug)]
struct LogRateLimit {
    left: u32,
    /// When the bucket was last refilled, in the clock's monotonic time.
    filled: Duration,
    dropped: u64,
}

impl LogRateLimit {
    fn new(now: Duration) -> Self {
        Self { left: BURST_LINES, filled: now, dropped: 0 }
    }

    /// Takes tokens for a line of `bytes` bytes. Returns `None` if the line must be dropped, else
    /// how many lines were dropped since the last one that passed.
    fn try_consume(&mut self, now: Duration, bytes: usize) -> Option<u64> {
        let since = now.saturating_sub(self.filled);
        let earned = since.as_millis() * u128::from(RATE) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(BURST_LINES);
            self.left = self.left.saturating_add(earned).min(BURST_LINES);
            self.filled = now;
        }
        let cost =
            u32::try_from(1 + bytes / SHORT_LINE_BYTES).unwrap_or(BURST_LINES).min(BURST_LINES);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.dropped))
            }
            None => {
                self.dropped += 1;
                None
            }
        }
    }
}

/// Reads standard error to its end, and writes each line to the log, within the rate limit, and to
/// the tail.
pub async fn read_log(
    mut from: impl AsyncBufRead + Unpin,
    speaker: LogSource,
    tail: OutputTail,
    clock: Arc<dyn Clock>,
) {
    let mut reader = LineReader::new();
    let mut allowance = LogRateLimit::new(clock.monotonic_time());
    let mut line = Vec::new();
    while let Ok(true) = next_line(&mut from, &mut line, MAX_LINE_BYTES).await {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let read = reader.read(&line);
        tail.push_line(&read);
        match allowance.try_consume(clock.monotonic_time(), line.len()) {
            Some(0) => emit_log_line(&speaker, &read),
            Some(dropped) => {
                tracing::warn!(target: "plugin", plugin = speaker.plugin, dropped,
                    "the plug-in logs more than {RATE} short lines a second; lines were dropped");
                emit_log_line(&speaker, &read);
            }
            None => {
                metrics::counter!(names::PLUGIN_LOG_DROPPED, "plugin" => speaker.plugin.clone())
                    .increment(1);
            }
        }
    }
}

/// Discards what a plug-in writes to standard output after the handshake, and logs how many bytes
/// that were.
pub async fn drain_stdout(mut from: impl AsyncBufRead + Unpin, speaker: LogSource) {
    let mut line = Vec::new();
    let mut bytes = 0_u64;
    while let Ok(true) = next_line(&mut from, &mut line, MAX_LINE_BYTES).await {
        bytes = bytes.saturating_add(line.len() as u64);
    }
    if bytes > 0 {
        tracing::debug!(target: "plugin", plugin = speaker.plugin, bytes,
            "the plug-in wrote to its standard output, which is discarded");
    }
}

/// The fields are formatted only if the line's level is enabled.
fn emit_log_line(speaker: &LogSource, line: &LogLine) {
    let fields = || {
        let pairs: Vec<String> = line.fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(" ")
    };
    let module = line.module.as_deref().unwrap_or_default();
    let LogSource { plugin, pid, mounts } = speaker;
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                target: "plugin", mounts = mounts.joined(), plugin, pid, module, fields = fields(),
                "{}", line.message
            )
        };
    }
    match line.level {
        PluginLogLevel::Trace => event!(trace),
        PluginLogLevel::Debug => event!(debug),
        PluginLogLevel::Info => event!(info),
        PluginLogLevel::Warn => event!(warn),
        PluginLogLevel::Error => event!(error),
    }
}

/// Reads one line and keeps at most `most` bytes of it. Returns false at the end of the output.
pub async fn next_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    most: usize,
) -> std::io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let part = from.fill_buf().await?;
        if part.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = part.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(part.len(), |at| at + 1);
        let kept = taken.min(most.saturating_sub(line.len()));
        line.extend(part.iter().take(kept));
        from.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// How long to read the rest of the output after the process has exited.
pub const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use strongroom_types::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_none_is_lost() {
        let text = format!("one\n{}\nthree", "x".repeat(100));
        let mut from = text.as_bytes();
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while next_line(&mut from, &mut line, 10).await.unwrap() {
            lines.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(lines, ["one\n", "xxxxxxxxxx", "three"]);
    }

    #[test]
    fn a_flood_is_cut_and_told_of() {
        let clock = ManualClock::default();
        let mut allowance = LogRateLimit::new(clock.monotonic_time());
        let passed = (0..BURST_LINES + 10)
            .filter(|_| allowance.try_consume(clock.monotonic_time(), 80).is_some())
            .count();
        assert_eq!(passed, BURST_LINES as usize);
        clock.advance(Duration::from_millis(5));
        assert_eq!(allowance.try_consume(clock.monotonic_time(), 80), Some(10));
        assert_eq!(allowance.try_consume(clock.monotonic_time(), 80), None);
    }

    #[test]
    fn long_lines_cost_more() {
        let clock = ManualClock::default();
        let mut allowance = LogRateLimit::new(clock.monotonic_time());
        let long = SHORT_LINE_BYTES * 100;
        let passed = (0..BURST_LINES)
            .filter(|_| allowance.try_consume(clock.monotonic_time(), long).is_some())
            .count();
        assert_eq!(passed, BURST_LINES as usize / 101);
        clock.advance(Duration::from_secs(60));
        assert!(
            allowance.try_consume(clock.monotonic_time(), usize::MAX).is_some(),
            "none is too long for ever"
        );
    }

    #[tokio::test]
    async fn the_last_words_are_kept() {
        let tail = OutputTail::default();
        assert!(tail.last_lines().is_empty());
        let text: String = (0..60).map(|n| format!("line {n}\n")).collect();
        let speaker = LogSource {
            plugin: "custom".to_owned(),
            pid: 1,
            mounts: Arc::new(MountLabels::default()),
        };
        let clock = Arc::new(ManualClock::default());
        read_log(text.as_bytes(), speaker, tail.clone(), clock).await;
        assert_eq!(tail.last_lines(), ["line 55", "line 56", "line 57", "line 58", "line 59"]);
    }

    #[test]
    fn what_is_shown_of_a_line_is_short_and_on_one_line() {
        assert_eq!(printable_excerpt("  a\u{1b}[31m\nb\u{202e} "), "a?[31m?b?");
        let long = printable_excerpt(&"é".repeat(10_000));
        assert_eq!(long.chars().count(), EXCERPT_CHARS + 1);
    }
}
