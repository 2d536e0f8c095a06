//! Moments as they stand in annotations and messages: RFC 3339.

use std::time::SystemTime;

use jiff::Timestamp;

/// The moment in writing.
pub(crate) fn written(moment: SystemTime) -> String {
    // Beyond the year 9999 nobody reads a date.
    Timestamp::try_from(moment).map_or_else(|_| "the end of time".to_owned(), |moment| moment.to_string())
}

/// The moment that `text` names, if it names one.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_written_is_read_to_the_nanosecond() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_219_200_123_456_789);
        assert_eq!(written(moment), "2026-11-21T00:00:00.123456789Z");
        assert_eq!(read(&written(moment)), Some(moment));
        for garbage in ["", "yesterday", "2026-11-21", "99999-01-01T00:00:00Z"] {
            assert_eq!(read(garbage), None, "{garbage}");
        }
    }
}
