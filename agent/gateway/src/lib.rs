//! Every effect of Thermowell.
