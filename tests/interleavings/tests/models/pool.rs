//! Runs the models of the pool, which are in `crates/pool/models.rs`.

use ::pool::models;

macro_rules! models {
    ($($model:ident)*) => {$(
        #[test]
        fn $model() {
            models::$model();
        }
    )*};
}

models! {
    calls_share_the_instances
    a_flush_covers_each_earlier_change
    a_flush_learns_of_each_lost_change
    a_future_that_is_dropped_holds_nothing
    two_exports_share_their_tenants_quota
    a_request_leaves_the_queue_when_its_client_hangs_up
    a_closed_pool_refuses_calls_and_lends_to_flushes
}
