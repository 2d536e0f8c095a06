//! Logs and metrics. (being written)
