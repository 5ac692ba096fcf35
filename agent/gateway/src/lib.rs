//! All I/O of Thermowell: the roles, which carry out the decisions of `flow`, and the command line.
//!
//! | role | its modules here |
//! |---|---|
//! | [`agent`] | [`serial`], [`publish`], [`actuate`], [`reset`] |
//! | [`aggregator`] | [`consume`], [`snapshot`], [`feed`] |
//! | [`controller`] | [`control`], [`ambient`] |
//! | [`front`] | [`ambient`] |
//! | people, through [`cli`] | [`command`], [`reset`] |
//!
//! These modules never import each other: code that several of them need is in [`nats`]. Only [`clock`] reads clocks.

pub mod actuate;
pub mod agent;
pub mod aggregator;
pub mod ambient;
pub mod boilers;
pub mod calendar;
pub mod check;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod conformance;
pub mod consume;
pub mod control;
pub mod controller;
pub mod export;
pub mod feed;
pub mod front;
pub mod http;
pub mod keys;
pub mod logs;
pub mod metrics;
pub mod mqtt;
pub mod nats;
pub mod output;
pub mod publish;
pub mod quantity;
mod regular;
pub mod report;
pub mod reset;
pub mod run;
pub mod samples;
pub mod schema;
pub mod serial;
pub mod service;
pub mod session;
pub mod shutdown;
pub mod snapshot;
pub mod spool;
pub mod status;
pub mod streams;
pub mod tap;
pub mod verify;
