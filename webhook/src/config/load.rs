//! File → checked [`Config`](super::Config). (being written)
