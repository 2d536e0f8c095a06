//! **patch** — the operations that turn the Pod into what was decided. (being written)
