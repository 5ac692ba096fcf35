//! Renames a boiler. The steps are manual; this lists them and checks which are done.

use thermowell_wire::BoilerId;

use super::{BoilerError, in_samples, is_configured, must_be_known};
use crate::config::Config;
use crate::nats::{Connection, User};

/// The steps, done or to do, until boiler `old` runs as `new`.
///
/// # Errors
/// See [`BoilerError`]: there is no `old`, or `new` has a history.
pub async fn rename(config: &Config, old: &BoilerId, new: &BoilerId) -> Result<String, BoilerError> {
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(BoilerError::Server)?;
    let context = connection.context();
    let (has_old, has_new) = (is_configured(config, old), is_configured(config, new));
    if has_new && (has_old || old == new) {
        return Err(BoilerError::Taken { id: new.clone() });
    }
    let exists = in_samples(context).await.map_err(BoilerError::Request)?.contains(new);
    if exists && !has_new {
        return Err(BoilerError::Taken { id: new.clone() });
    }
    if !(has_new && exists) {
        must_be_known(context, old).await?;
    }
    let retired = !in_samples(context).await.map_err(BoilerError::Request)?.contains(old);
    let steps = [
        (has_new, format!("in [[boiler]], write id = \"{new}\" instead of id = \"{old}\", and keep the port")),
        (has_new && exists, "restart the services: systemctl restart 'thermowell-*'".to_owned()),
        (retired, format!("thermowell boiler retire {old} --yes")),
    ];
    let mut text = format!("The history stays under {old}: the id is the subject. {new} begins a new history.\n");
    for (done, step) in steps {
        text += if done { "  done   " } else { "  to do  " };
        text += &step;
        text.push('\n');
    }
    Ok(text)
}
