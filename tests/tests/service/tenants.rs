//! Many tenants in one process: what each can see and use, and what a change of the configuration changes.

mod attack;
mod certificates;
mod drain;
mod generations;
mod guide;
mod isolation;
mod life;
mod listeners;
mod manual;
mod quotas;
mod rates;
mod reload;
mod same_digest;
mod scene;
mod silence;
mod slow_plugins;
mod stranger;
