//! Accepts a replacement board, which then continues the boiler's history.
//!
//! The acceptance is only an event: the agent reads it together with the stream's last message, and continues after
//! that with the first slot of the new board. From its first message on the history belongs to the new board, and the
//! event is not needed any more.

use async_nats::jetstream::Context;
use thermowell_flow::published::{Event, EventBody, Freshness, Link, Status};
use thermowell_wire::batch::decode;
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{BoilerId, device_id};

use super::{BoilerError, last_known, must_be_known};
use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{self, Connection, RequestError, User};
use crate::status::judge;

/// Lets the board `serial_number` continue the history of `id`, if `confirmed`. Returns a text for the user.
///
/// # Errors
/// See [`BoilerError`]; then nothing was done.
pub async fn accept(
    config: &Config,
    id: &BoilerId,
    serial_number: &str,
    confirmed: bool,
) -> Result<String, BoilerError> {
    let connection = Connection::reach(&config.nats, User::Installer).await.map_err(BoilerError::Server)?;
    let context = connection.context();
    must_be_known(context, id).await?;
    let configured = config.boilers.iter().find(|boiler| boiler.id == *id);
    if let Some(bound) = configured.and_then(|boiler| boiler.serial_number.as_ref()).filter(|it| *it != serial_number) {
        let (id, bound, serial_number) = (id.clone(), bound.clone(), serial_number.to_owned());
        return Err(BoilerError::Bound { id, bound, serial_number });
    }
    let last = nats::last(context, stream::SAMPLES, &subject::samples(id)).await.map_err(BoilerError::Request)?;
    let Some(last) = last else { return Err(BoilerError::NoHistory { id: id.clone() }) };
    let Some(instead_of) = decode(&last.payload).ok().map(|packed| packed.device()) else {
        return Err(BoilerError::Unreadable { id: id.clone(), sequence: last.sequence });
    };
    if instead_of == device_id(serial_number) {
        return Err(BoilerError::Own { id: id.clone(), serial_number: serial_number.to_owned() });
    }
    if let Some(board) = answering(context, config, id).await.map_err(BoilerError::Request)?
        && board != serial_number
    {
        return Err(BoilerError::Other { id: id.clone(), board, serial_number: serial_number.to_owned() });
    }
    if !confirmed {
        return Err(BoilerError::UnconfirmedBoard { id: id.clone(), serial_number: serial_number.to_owned() });
    }
    let (gateway, serial_number) = (config.gateway.clone(), serial_number.to_owned());
    let text = format!(
        "board {serial_number} is accepted as boiler {id}: its history continues after message {} of the previous \
         board.\nA running agent accepts it within seconds; a stopped one when it is started again.\n",
        last.sequence
    );
    // By its checksum: a serial number may have characters that a header must not have.
    let mark = format!("accepted-{id}-{:08x}-{}", device_id(&serial_number), last.sequence);
    let body = EventBody::BoardAccepted { serial_number, instead_of, last: last.sequence, gateway };
    let created_at = Clock::new(&config.clock).now().utc.unix_seconds();
    let event = Event { boiler: id.clone(), created_at, body };
    nats::announce(context, EventKind::Boiler, &mark, &event).await.map_err(BoilerError::Request)?;
    Ok(text)
}

/// The board that answers as `id` now. None without an agent, and where no board answers: a board may be accepted
/// before it is connected.
async fn answering(context: &Context, config: &Config, id: &BoilerId) -> Result<Option<String>, RequestError> {
    let status: Option<Status> = last_known(context, stream::STATUS, &subject::status(id)).await?;
    let age_s = |status: &Status| Clock::new(&config.clock).age_s(status.created_at);
    let Some(status) = status.filter(|status| judge(age_s(status)) == Freshness::Fresh) else { return Ok(None) };
    let boot: Option<Event> = last_known(context, stream::EVENT, &subject::event(id, EventKind::Boot)).await?;
    Ok(board_of(status, boot.map(|event| event.body)))
}

/// A board that is refused is not in STATUS: an event names it.
fn board_of(status: Status, boot: Option<EventBody>) -> Option<String> {
    match (status.link, boot) {
        (Link::Up, _) => status.device.map(|device| device.serial_number),
        (Link::Refused, Some(EventBody::DeviceRefused { serial_number, .. })) => Some(serial_number),
        (Link::Refused | Link::Down | Link::Silent, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::testing::{noon_s, status};

    #[test]
    fn board_that_answers_is_known_while_it_does() {
        let refused = || {
            let (serial_number, reason) = ("NEW-7".to_owned(), "another board".to_owned());
            Some(EventBody::DeviceRefused { serial_number, reason })
        };
        let board = |link, boot| board_of(Status { link, ..status(noon_s()) }, boot);
        assert_eq!(board(Link::Up, refused()).as_deref(), Some("SIM-b1"), "the event is an older one");
        assert_eq!(board(Link::Refused, refused()).as_deref(), Some("NEW-7"));
        assert_eq!(board(Link::Refused, None), None, "the event has expired");
        for link in [Link::Down, Link::Silent] {
            assert_eq!(board(link, refused()), None, "a board may be accepted before it is connected");
        }
    }
}
