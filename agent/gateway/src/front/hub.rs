//! The viewers: each view is drawn once per tick, for all who watch it.
//!
//! | what | bound | why |
//! |---|---|---|
//! | viewers | 16 | a small gateway, and 6 connections of a browser each |
//! | a viewer's time if another one waits | 60 s | one that reads nothing is not seen until buffers are full |
//! | frames that wait for a viewer | the newest one of each kind | a slow viewer skips frames, it delays none |
//! | drawings per tick | one for each view with a viewer | nothing is drawn without one |

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use thermowell_wire::BoilerId;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::cards::{self, Frame, Ledger, Row};
use super::model::{Boiler, Model, Moment};
use super::width::Width;
use super::{bars, chart, rows};
use crate::clock::{self, Clock, realtime_ns};

/// The most viewers.
pub(super) const VIEWERS_MAX: usize = 16;
/// How long a viewer keeps its place if there is none for another one. A page connects again by itself.
const STAY: Duration = Duration::from_secs(60);
/// Interval of the values.
const TICK: Duration = Duration::from_secs(1);
/// Charts are drawn with every fifth values, and when a boiler's data becomes fresh or old.
const CHARTS_EVERY: u32 = 5;

/// What a viewer looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    /// The boiler; none is the overview.
    pub(super) boiler: Option<BoilerId>,
    pub(super) width: Width,
}

/// The views that are watched.
#[derive(Debug)]
pub(super) struct Hub {
    model: Arc<Mutex<Model>>,
    clock: Clock,
    /// The viewers, the oldest first: at most [`VIEWERS_MAX`].
    seats: Mutex<VecDeque<Seat>>,
    views: Mutex<BTreeMap<View, Channel>>,
    /// For the reader, which is slow without viewers.
    joined: Notify,
    /// For the tick, which rests without viewers.
    arrived: Notify,
    /// For those who have joined: they see no state that is older than their visit.
    refreshed: Notify,
    /// Counts the reads, for who follows them without a view.
    reads: watch::Sender<u64>,
}

/// The newest frames of a view, as server-sent events.
#[derive(Debug)]
struct Channel {
    values: watch::Sender<Bytes>,
    charts: watch::Sender<Bytes>,
    /// Ticks since the charts were drawn; none before the first time.
    drawn: Option<u32>,
    /// How fresh the data of each boiler was then, as its tab shows it.
    states: Vec<&'static str>,
}

/// A place among the viewers.
#[derive(Debug)]
struct Seat {
    since: Instant,
    /// Ends the events; closed by a viewer that has left.
    end: oneshot::Sender<()>,
}

struct Viewer {
    values: watch::Receiver<Bytes>,
    charts: watch::Receiver<Bytes>,
    end: oneshot::Receiver<()>,
}

impl Hub {
    pub(super) fn new(model: Arc<Mutex<Model>>, clock: Clock) -> Self {
        Self {
            model,
            clock,
            seats: Mutex::default(),
            views: Mutex::default(),
            joined: Notify::new(),
            arrived: Notify::new(),
            refreshed: Notify::new(),
            reads: watch::Sender::default(),
        }
    }

    /// Whether there is such a boiler.
    pub(super) fn knows(&self, boiler: &BoilerId) -> bool {
        lock(&self.model).boilers.iter().any(|known| known.id == *boiler)
    }

    /// The events of a view from now on; none if all places are taken.
    pub(super) fn watch(&self, view: View) -> Option<impl Stream<Item = Bytes> + use<>> {
        let end = self.seat()?;
        let mut views = lock(&self.views);
        let channel = views.entry(view).or_insert_with(|| Channel {
            values: watch::Sender::default(),
            charts: watch::Sender::default(),
            drawn: None,
            states: Vec::new(),
        });
        let (mut values, mut charts) = (channel.values.subscribe(), channel.charts.subscribe());
        // What was drawn for others is shown at once.
        values.mark_changed();
        charts.mark_changed();
        drop(views);
        self.joined.notify_one();
        self.arrived.notify_one();
        Some(stream::unfold(Viewer { values, charts, end }, next))
    }

    /// A free place, or that of the oldest viewer after its time.
    fn seat(&self) -> Option<oneshot::Receiver<()>> {
        let mut seats = lock(&self.seats);
        seats.retain(|seat| !seat.end.is_closed());
        if seats.len() >= VIEWERS_MAX {
            let oldest = seats.pop_front_if(|oldest| oldest.since.elapsed() >= STAY)?;
            // It may have left just now.
            oldest.end.send(()).unwrap_or_default();
        }
        let (end, ended) = oneshot::channel();
        seats.push_back(Seat { since: clock::runtime_now(), end });
        Some(ended)
    }

    /// Whether anything is drawn.
    pub(super) fn is_watched(&self) -> bool {
        !lock(&self.views).is_empty()
    }

    /// Whether the streams are to be read each second.
    pub(super) fn is_followed(&self) -> bool {
        self.is_watched() || self.reads.receiver_count() > 0
    }

    /// Changes with each read; while it is kept, the streams are read each second.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.joined.notify_one();
        self.reads.subscribe()
    }

    /// Waits for a viewer that joins.
    pub(super) async fn joined(&self) {
        self.joined.notified().await;
    }

    /// Reports that the streams have been read: those who have just joined are shown something at once.
    pub(super) fn refreshed(&self) {
        self.refreshed.notify_one();
        self.reads.send_modify(|reads| *reads += 1);
    }

    /// Draws what is watched, until the process ends. Also while nothing is read, so that the pages show it.
    pub(super) async fn run(&self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_watched = self.is_watched();
            tokio::select! {
                _ = tick.tick(), if is_watched => self.draw(true),
                // The first viewer is shown what is read now, or after a second that it cannot be read.
                () = self.arrived.notified(), if !is_watched => tick.reset(),
                () = self.refreshed.notified() => self.draw(false),
            }
        }
    }

    /// Ends the events of all viewers.
    pub(super) fn close(&self) {
        lock(&self.views).clear();
    }

    /// Draws the views that are due: all at a tick, else those that have not been drawn.
    fn draw(&self, is_tick: bool) {
        let at = self.moment();
        let model = lock(&self.model);
        let mut views = lock(&self.views);
        views.retain(|_, channel| channel.values.receiver_count() > 0);
        for (view, channel) in views.iter_mut().filter(|(_, channel)| is_tick || channel.drawn.is_none()) {
            let values = values(&model, view, &at);
            let states: Vec<&'static str> = values.rows["tabs"].iter().filter_map(|tab| tab.s).collect();
            channel.values.send_replace(event("values", &values));
            channel.drawn = match channel.drawn {
                Some(ticks) if ticks + 1 < CHARTS_EVERY && states == channel.states => Some(ticks + 1),
                Some(_) | None => {
                    channel.charts.send_replace(event("charts", &charts(&model, view, &at)));
                    channel.states = states;
                    Some(0)
                }
            };
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now: self.clock.now().utc, real_ns: realtime_ns(), speed: self.clock.speed() }
    }
}

/// The next event of a viewer; none once the hub is closed, or another one has its place. Values first: they are
/// small.
async fn next(mut viewer: Viewer) -> Option<(Bytes, Viewer)> {
    loop {
        let changed = tokio::select! {
            biased;
            _ = &mut viewer.end => return None,
            changed = viewer.values.changed() => changed.map(|()| viewer.values.borrow_and_update().clone()),
            changed = viewer.charts.changed() => changed.map(|()| viewer.charts.borrow_and_update().clone()),
        };
        match changed {
            // Nothing has been drawn yet.
            Ok(event) if event.is_empty() => {}
            Ok(event) => return Some((event, viewer)),
            Err(_) => return None,
        }
    }
}

/// A server-sent event. JSON has no line feeds.
fn event(name: &str, frame: &Frame) -> Bytes {
    let json = serde_json::to_string(frame).expect("frames have text keys and finite numbers");
    format!("event: {name}\ndata: {json}\n\n").into()
}

/// What changes each second.
fn values(model: &Model, view: &View, at: &Moment) -> Frame {
    let mut frame = Frame::new(model, at);
    let boilers: Vec<Row> = model.boilers.iter().map(|boiler| cards::overview(boiler, at, &model.server)).collect();
    let tab = |row: &Row| Row { t: row.t[..1].to_vec(), s: row.s, to: row.to.clone(), ..Row::default() };
    frame.rows.insert("tabs", boilers.iter().map(tab).collect());
    match of(model, view) {
        Some(boiler) => frame.cards(boiler, at),
        None => {
            let is_simulated = model.boilers.iter().any(|boiler| boiler.judged(at).is_simulated());
            frame.s.insert("simulated", if is_simulated { "yes" } else { "no" });
            frame.rows.insert("boilers", boilers);
        }
    }
    frame
}

/// What is drawn every few seconds.
fn charts(model: &Model, view: &View, at: &Moment) -> Frame {
    let mut frame = Frame::new(model, at);
    let Some(boiler) = of(model, view) else {
        let row =
            |boiler: &Boiler| Row { svg: Some(bars::spark(boiler, at)), ..cards::overview(boiler, at, &model.server) };
        frame.rows.insert("boilers", model.boilers.iter().map(row).collect());
        return frame;
    };
    let ledger = Ledger::of(bars::day(boiler, at));
    frame.svg.insert("hour", chart::draw(boiler, at, view.width));
    frame.svg.insert("hours", bars::draw(boiler, at, view.width));
    frame.svg.insert("ledger-bar", bars::ledger(&ledger, view.width));
    ledger.show(&mut frame);
    let judged = boiler.judged(at);
    let so_far = judged.valid_state().and_then(|state| state.provisional.temperature);
    frame.text("so-far", cards::degrees(so_far));
    frame.rows.insert("decisions", rows::decisions(boiler));
    frame.rows.insert("happened", rows::happened(boiler));
    frame.rows.insert("snapshots", bars::rows(boiler));
    frame
}

fn of<'a>(model: &'a Model, view: &View) -> Option<&'a Boiler> {
    model.boilers.iter().find(|boiler| view.boiler.as_ref() == Some(&boiler.id))
}

/// What is behind these locks is replaced as a whole, so a panic leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use serde_json::Value;

    use super::super::testing::{noon_s, snapshot, state, status};
    use super::*;

    fn hub() -> Hub {
        let boilers = ["b1", "b2"].map(|id| id.parse().unwrap());
        let mut model = Model::new(boilers);
        model.boilers[0].state = Some(state(noon_s()));
        model.boilers[0].take_status(Some(status(noon_s())));
        model.boilers[0].take_snapshot(snapshot(491_051, 360_000, 0));
        let config = crate::config::Clock { speed: 1, epoch: None, assume_synced: true, step_file: None };
        Hub::new(Arc::new(Mutex::new(model)), Clock::new(&config))
    }

    fn view(boiler: Option<&str>) -> View {
        View { boiler: boiler.map(|id| id.parse().unwrap()), width: Width::Wide }
    }

    /// The events that are ready now: names and data.
    fn ready(stream: &mut (impl Stream<Item = Bytes> + Unpin)) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        while let Some(Some(event)) = stream.next().now_or_never() {
            let text = String::from_utf8(event.to_vec()).unwrap();
            let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            assert!(data.ends_with("\n\n") && data.trim_end().lines().count() == 1);
            events.push((name.to_owned(), serde_json::from_str(data).unwrap()));
        }
        events
    }

    fn names(events: &[(String, Value)]) -> Vec<&str> {
        events.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn values_come_each_tick_and_charts_every_fifth() {
        let hub = hub();
        let mut viewer = Box::pin(hub.watch(view(Some("b1"))).unwrap());
        assert_eq!(ready(&mut viewer), []);
        hub.draw(false);
        let first = ready(&mut viewer);
        assert_eq!(names(&first), ["values", "charts"]);
        let chart = first[1].1["svg"]["hour"].as_str().unwrap();
        assert!(chart.starts_with("<svg viewBox=\"0 0 1120 300\"") && !chart.contains("style="), "{chart}");
        for tick in 1..=10 {
            hub.draw(true);
            let expected: &[&str] = if tick % CHARTS_EVERY == 0 { &["values", "charts"] } else { &["values"] };
            assert_eq!(names(&ready(&mut viewer)), expected, "{tick}");
        }
    }

    #[test]
    fn charts_come_at_once_when_data_becomes_fresh() {
        let hub = hub();
        let mut viewer = Box::pin(hub.watch(view(Some("b1"))).unwrap());
        hub.draw(true);
        assert_eq!(names(&ready(&mut viewer)), ["values", "charts"]);
        lock(&hub.model).boilers[0].state = Some(state(hub.moment().now.unix_seconds()));
        hub.draw(true);
        assert_eq!(names(&ready(&mut viewer)), ["values", "charts"]);
        hub.draw(true);
        assert_eq!(names(&ready(&mut viewer)), ["values"]);
    }

    #[tokio::test(start_paused = true)]
    async fn first_viewer_sees_what_is_read_now_or_soon_that_it_cannot_be() {
        let hub = Arc::new(hub());
        let running = tokio::spawn({
            let hub = hub.clone();
            async move { hub.run().await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut viewer = Box::pin(hub.watch(view(Some("b1"))).unwrap());
        hub.joined().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(ready(&mut viewer), [], "what is a minute old is not shown");
        hub.refreshed();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(names(&ready(&mut viewer)), ["values", "charts"]);
        drop(viewer);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!hub.is_watched());
        let mut viewer = Box::pin(hub.watch(view(Some("b1"))).unwrap());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(names(&ready(&mut viewer)), ["values", "charts"], "the server is away");
        running.abort();
    }

    #[test]
    fn view_is_drawn_once_for_all_and_a_late_viewer_sees_it_at_once() {
        let hub = hub();
        let _first = hub.watch(view(None)).unwrap();
        hub.draw(true);
        let mut late = Box::pin(hub.watch(view(None)).unwrap());
        assert_eq!(lock(&hub.views).len(), 1);
        let events = ready(&mut late);
        assert_eq!(names(&events), ["values", "charts"]);
        let row = &events[1].1["rows"]["boilers"][1];
        assert_eq!((row["t"][0].as_str(), row["to"].as_str()), (Some("b2"), Some("b2")));
        assert!(row["svg"].as_str().unwrap().contains("width=\"120\""), "{row}");
    }

    #[test]
    fn seventeenth_viewer_has_no_place_until_one_leaves() {
        let hub = hub();
        let mut viewers: Vec<_> = (0..VIEWERS_MAX).map(|_| hub.watch(view(None)).unwrap()).collect();
        assert!(hub.watch(view(None)).is_none());
        viewers.pop();
        assert!(hub.watch(view(Some("b1"))).is_some());
    }

    /// Otherwise sixteen that read nothing keep all others out.
    #[tokio::test(start_paused = true)]
    async fn oldest_viewer_gives_its_place_after_a_minute() {
        let hub = hub();
        let mut first = Box::pin(hub.watch(view(None)).unwrap());
        tokio::time::sleep(STAY / 2).await;
        let mut second = Box::pin(hub.watch(view(None)).unwrap());
        let _others: Vec<_> = (2..VIEWERS_MAX).map(|_| hub.watch(view(None)).unwrap()).collect();
        hub.draw(true);
        assert_eq!(names(&ready(&mut first)), ["values", "charts"]);
        assert!(hub.watch(view(None)).is_none());
        tokio::time::sleep(STAY / 2).await;
        let _last = hub.watch(view(None)).expect("the place of the first");
        assert!(hub.watch(view(None)).is_none(), "the second has been there for half a minute");
        hub.draw(true);
        assert_eq!(first.next().now_or_never(), Some(None));
        assert_eq!(names(&ready(&mut second))[0], "values");
    }

    #[test]
    fn slow_viewer_gets_the_newest_frame_only() {
        let hub = hub();
        let mut slow = Box::pin(hub.watch(view(None)).unwrap());
        (0..100).for_each(|_| hub.draw(true));
        assert_eq!(names(&ready(&mut slow)), ["values", "charts"]);
    }

    #[test]
    fn views_without_viewers_are_not_drawn_and_a_close_ends_all() {
        let hub = hub();
        let gone = hub.watch(view(Some("b1"))).unwrap();
        let mut viewer = Box::pin(hub.watch(view(None)).unwrap());
        drop(gone);
        hub.draw(true);
        assert_eq!(lock(&hub.views).len(), 1);
        assert_eq!(ready(&mut viewer).len(), 2);
        hub.close();
        assert_eq!(viewer.next().now_or_never(), Some(None));
    }
}
