//! The annotation `berth.dev/skip` of Namespaces, watched. (being written)
