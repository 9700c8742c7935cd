//! One query to the upstreams for all clients who ask the same at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use podway_dns_cache::{Key, Response};
use tokio::sync::watch;

/// What a flight brings.
type Cargo = Option<Arc<Response>>;

/// Questions that are under way, and who waits for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, watch::Receiver<Cargo>>>>);

/// A place among those who wait.
#[derive(Debug)]
pub(crate) struct Seat(watch::Receiver<Cargo>);

/// The duty to bring an answer; whoever drops it leaves the others without.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Flights,
    key: Key,
    landing: watch::Sender<Cargo>,
}

/// How somebody who asks takes part.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// There is an answer meanwhile.
    Arrived(Arc<Response>),
    /// Somebody asks already.
    Passenger(Seat),
    /// Nobody does: the flight has to be flown by who gets this.
    Pilot(Flight, Seat),
}

impl Flights {
    /// Takes part in asking `key`, unless `arrived` finds an answer that has just come.
    pub(crate) fn board(
        &self,
        key: &Key,
        arrived: impl FnOnce() -> Option<Arc<Response>>,
    ) -> Boarding {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = flights.get(key) {
            return Boarding::Passenger(Seat(seat.clone()));
        }
        // An answer is kept before its flight ends, so that looking now misses none.
        if let Some(response) = arrived() {
            return Boarding::Arrived(response);
        }
        let (landing, seat) = watch::channel(None);
        flights.insert(key.clone(), seat.clone());
        Boarding::Pilot(Flight { flights: self.clone(), key: key.clone(), landing }, Seat(seat))
    }
}

impl Flight {
    /// Gives `response` to all who wait.
    pub(crate) fn land(self, response: Arc<Response>) {
        self.landing.send_replace(Some(response));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.key);
    }
}

impl Seat {
    /// Waits for the answer; `None` if the flight ended without.
    pub(crate) async fn wait(mut self) -> Cargo {
        self.0.wait_for(Option::is_some).await.ok().and_then(|cargo| cargo.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podway_dns_cache::KeyFlags;

    use super::*;

    fn key() -> Key {
        Key::new([&b"www"[..]], 1, 1, KeyFlags::default())
    }

    fn response() -> Arc<Response> {
        Arc::new(Response::failure(&key(), Duration::ZERO))
    }

    #[tokio::test]
    async fn all_who_ask_get_the_one_answer_and_the_next_one_asks_anew() {
        let flights = Flights::default();
        let Boarding::Pilot(flight, first) = flights.board(&key(), || None) else { panic!() };
        let Boarding::Passenger(second) = flights.board(&key(), || None) else { panic!() };
        let response = response();
        flight.land(Arc::clone(&response));
        for seat in [first, second] {
            assert!(Arc::ptr_eq(&seat.wait().await.unwrap(), &response));
        }
        assert!(matches!(flights.board(&key(), || None), Boarding::Pilot(..)));
    }

    #[tokio::test]
    async fn flight_that_ends_without_answer_keeps_nobody_waiting() {
        let flights = Flights::default();
        let Boarding::Pilot(flight, seat) = flights.board(&key(), || None) else { panic!() };
        drop(flight);
        assert_eq!(seat.wait().await, None);
        assert!(matches!(flights.board(&key(), || None), Boarding::Pilot(..)));
    }

    #[test]
    fn answer_that_has_just_come_is_taken() {
        let flights = Flights::default();
        let boarding = flights.board(&key(), || Some(response()));
        assert!(matches!(boarding, Boarding::Arrived(_)));
    }
}
