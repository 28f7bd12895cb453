//! CPU time and memory of processes on this machine, from `/proc`.

use std::time::Duration;

/// Kernel clock ticks per second in `/proc/PID/stat`: `USER_HZ`, 100 on every Linux architecture.
const TICKS_PER_SECOND: u64 = 100;

/// A process that can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Its files can't be read: most often because it has ended.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not as expected.
    #[error("{path} has no {field}")]
    Field {
        /// The file.
        path: String,
        /// What was looked for.
        field: &'static str,
    },
}

/// The CPU time (user and system) that the processes have used so far. Resolution: 10 ms each.
///
/// # Errors
/// [`ProcessError`] when one of them has ended.
pub fn cpu_time(pids: &[u32]) -> Result<Duration, ProcessError> {
    pids.iter().map(|pid| cpu_time_of(&pid.to_string())).sum()
}

/// The CPU time of this process.
///
/// # Errors
/// [`ProcessError`] where there is no `/proc`.
pub fn own_cpu_time() -> Result<Duration, ProcessError> {
    cpu_time_of("self")
}

/// The memory that the processes have resident now, in bytes.
///
/// # Errors
/// [`ProcessError`] when one of them has ended.
pub fn resident_bytes(pids: &[u32]) -> Result<u64, ProcessError> {
    pids.iter().map(|pid| resident_bytes_of(*pid)).sum()
}

fn cpu_time_of(pid: &str) -> Result<Duration, ProcessError> {
    let path = format!("/proc/{pid}/stat");
    let text = read(&path)?;
    let ticks = parse_cpu_ticks(&text);
    let ticks = ticks.ok_or(ProcessError::Field {
        path,
        field: "utime and stime",
    })?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

fn resident_bytes_of(pid: u32) -> Result<u64, ProcessError> {
    let path = format!("/proc/{pid}/status");
    let text = read(&path)?;
    parse_resident_bytes(&text).ok_or(ProcessError::Field {
        path,
        field: "VmRSS",
    })
}

fn read(path: &str) -> Result<String, ProcessError> {
    std::fs::read_to_string(path).map_err(|source| ProcessError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Fields 14 and 15, counted from after the command, which may hold spaces and parentheses.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let after_command = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_command.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn parse_resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_ticks_whatever_the_command_is_called() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 0 0 0 120 34 0 0 20 0 1 0 100 200 3";
        assert_eq!(parse_cpu_ticks(stat), Some(154));
        assert_eq!(parse_cpu_ticks("42 (a S 1"), None);
        assert_eq!(parse_cpu_ticks("42 (a) S 1 2"), None);
    }

    #[test]
    fn reads_resident_memory() {
        assert_eq!(
            parse_resident_bytes("Name:\tx\nVmRSS:\t    1234 kB\n"),
            Some(1_263_616)
        );
        assert_eq!(parse_resident_bytes("Name:\tkthread\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at_and_none_cannot() {
        assert!(own_cpu_time().is_ok());
        assert!(resident_bytes(&[std::process::id()]).unwrap() > 0);
        assert!(matches!(
            cpu_time(&[u32::MAX]),
            Err(ProcessError::Read { .. })
        ));
    }
}
