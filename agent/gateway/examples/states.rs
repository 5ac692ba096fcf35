//! Prints each boiler's state whenever it is published:
//! `NATS_URL=nats://127.0.0.1:4222 NATS_NKEY=/etc/thermowell/keys/reader.nk cargo run -p thermowell --example states`.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Write as _};

use async_nats::ConnectOptions;
use futures_util::StreamExt as _;
use thermowell_flow::published::State;
use thermowell_wire::subject::wildcard;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let options = match env::var("NATS_NKEY") {
        Ok(file) => {
            let seed = fs::read_to_string(&file).map_err(|error| format!("NATS_NKEY: {file}: {error}"))?;
            ConnectOptions::with_nkey(seed.trim().to_owned())
        }
        Err(_) => ConnectOptions::new(),
    };
    let mut states = options.connect(url).await?.subscribe(wildcard::STATE).await?;
    let celsius = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.2} °C"));
    while let Some(message) = states.next().await {
        // A message of a later version may have fields that this one cannot read.
        let Ok(state) = serde_json::from_slice::<State>(&message.payload) else { continue };
        let (now, mean, known) = (celsius(state.current), celsius(state.average), state.coverage * 100.0);
        // Compare the stamp with the clock before the values are used: a state is also published while it is old.
        let (boiler, stamp) = (&state.boiler, state.stamp);
        // `head` closes the pipe.
        if writeln!(io::stdout(), "{boiler} at {stamp:.2}: {now}; last hour {mean}, {known:.1} % known").is_err() {
            break;
        }
    }
    Ok(())
}
