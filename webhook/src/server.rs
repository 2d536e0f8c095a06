//! Accepting, limiting, draining. (being written)
