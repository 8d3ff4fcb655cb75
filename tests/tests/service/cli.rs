//! The program on the command line: each command and option, each mistake of an operator, and the manual.

mod bad_input;
mod commands;
mod entrances;
mod manual;
mod offers;
mod plugins;
mod scene;
mod several;
