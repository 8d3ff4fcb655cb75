//! What an operator sees of a running server: figures, manual, log and `nbdbox top`.

mod cpu;
mod figures;
mod layers;
mod listener;
mod log;
mod manual;
mod plugins;
mod scene;
mod top;
