//! Every backend is held to the same promises.

mod cluster;
mod damage;
mod facts;
mod place;
mod suite;

use place::Place;

macro_rules! suite {
    ($($backend:ident: $place:expr),* => $tests:tt) => {
        $(suite!(@one $backend, $place, $tests);)*
    };
    (@one $backend:ident, $place:expr, { $($test:ident),* $(,)? }) => {
        mod $backend {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(place) = $place {
                        suite::$test(&place).await;
                    }
                }
            )*
        }
    };
}

suite! {
    memory: Place::memory(), file: Place::file(), etcd: Place::etcd() => {
        guards_hold_and_indexes_grow,
        followers_see_every_batch_in_order,
        a_late_follower_is_given_everything,
        a_slow_follower_slows_nobody_and_ends_with_the_same,
        one_of_many_wins_a_guard_and_all_indexes_differ,
        random_batches_end_as_a_model_says,
        large_batches_are_answered_when_all_is_done,
        names_live_as_long_as_they_are_kept_alive,
        a_store_on_it_reads_its_own_writes,
    }
}
