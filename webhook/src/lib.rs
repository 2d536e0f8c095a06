//! Berth: pins, mirrors and places the images of Pods, when they are created.
//!
//! One review flows top-down: accept TLS ([`server`]) → decode → select → pin → mirror → place → patch → respond
//! ([`admission`], a file a step). Rules are pure functions from data to data; waiting happens in [`registry`]
//! and in the watches of [`nodes`]. The other half is what the controller does for Pods after their review: [`stuck`],
//! [`gates`] and [`attention`] say in [`events`] what people should know, and repair what late facts made wrong.

pub mod command;
pub mod config;
pub mod server;

pub mod stuck;

pub mod gates;

pub mod certificates;

pub mod attention;
pub mod events;

pub mod admission;
mod call;
mod follow;
pub mod image;
pub mod load;
pub mod local_registry;
pub mod manifest;
pub mod namespaces;
pub mod nodes;
pub mod pull_secrets;
pub mod registry;
pub mod telemetry;
