//! What decides whether a connection may begin another request, and when others get their turn.

mod admission;
mod time_slice;
mod wait_budget;

pub(super) use admission::{Admission, Permit};
pub(super) use time_slice::TimeSlice;
pub(super) use wait_budget::WaitBudget;
