//! Accepts a replacement board, which then continues the boiler's history.
//!
//! The acceptance is only an event: the agent reads it together with the stream's last message, and continues after
//! that with the first slot of the new board. From its first message on the history belongs to the new board, and the
//! event is not needed any more.

use thermowell_flow::published::{Event, EventBody};
use thermowell_wire::batch::decode;
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{BoilerId, device_id};

use super::{BoilerError, must_be_known};
use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{self, Connection, User};

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
