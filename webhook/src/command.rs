//! The subcommands, a file each. (being written)
