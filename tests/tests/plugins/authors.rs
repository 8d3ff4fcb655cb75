//! What plugin authors work with: a folder to start from, a server that loads each build, and a contract that stays.

mod compatibility;
mod dev;
mod manual;
mod new;
mod tutorial;
mod wit_package;
