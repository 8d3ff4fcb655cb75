//! One server: its process is started, answered, and started again if it dies.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nbdbox_config::config::Part;
use outside::{Note, Stage};
use rustix::process::Signal;
use tokio::time::sleep_until;

use super::charge::Serving;
use super::desk::Desk;
use super::line::Line;
use super::process::{Launch, Process};

/// Time for the process to end once it has closed its link, or was told to end at once: SIGKILL follows.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before a server that died is started again; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// A server that ran for this long before it died is started again after the shortest pause.
const WELL: Duration = Duration::from_secs(60);

/// A server and its desk.
pub(super) struct Server {
    part: Part,
    /// Environment variables that its process doesn't get.
    hidden: Vec<String>,
    desk: Desk,
    state: State,
    /// When its process was started.
    begun: Instant,
    /// The pause after its next death.
    pause: Duration,
    /// Whether it has served at some time.
    pub(super) was_ready: bool,
    /// Whether it's to read the configuration again and hasn't.
    pub(super) reloads: bool,
    /// Whether it was told to end, alone: the configuration has its part no more.
    pub(super) leaves: bool,
}

enum State {
    Runs(Box<Running>),
    /// It died, and is started again at this time.
    Pauses(Instant),
    Ended(ExitStatus),
}

struct Running {
    process: Process,
    /// `None` once it's closed.
    line: Option<Line>,
    /// When SIGKILL is sent.
    deadline: Option<Instant>,
}

/// What a server does.
pub(super) enum Event {
    Stage(Stage),
    /// Its process has ended.
    Ended(ExitStatus),
    /// Its pause is over.
    Due,
}

impl Server {
    /// Starts the server.
    ///
    /// # Errors
    /// The kernel refuses another process.
    pub(super) fn start(
        launch: &Launch,
        part: Part,
        hidden: Vec<String>,
        desk: Desk,
    ) -> anyhow::Result<Self> {
        let state = run(launch, &part, &hidden, &desk)?;
        Ok(Self {
            part,
            hidden,
            desk,
            state,
            begun: Instant::now(),
            pause: PAUSE,
            was_ready: false,
            reloads: false,
            leaves: false,
        })
    }

    pub(super) fn part(&self) -> &Part {
        &self.part
    }

    pub(super) fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// How it ended; `None` before.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        match self.state {
            State::Ended(status) => Some(status),
            _ => None,
        }
    }

    /// Answers the server until something happens. Dropping it loses nothing.
    ///
    /// # Errors
    /// The kernel doesn't say how the process ended.
    pub(super) async fn event(&mut self) -> anyhow::Result<Event> {
        match &mut self.state {
            State::Runs(running) => {
                let event = running.event().await?;
                if let Event::Ended(status) = &event {
                    self.state = State::Ended(*status);
                    // It reads the configuration when it starts again.
                    self.reloads = false;
                }
                Ok(event)
            }
            State::Pauses(until) => {
                sleep_until((*until).into()).await;
                Ok(Event::Due)
            }
            State::Ended(_) => std::future::pending().await,
        }
    }

    /// Lets the server read the configuration again. Until it has, it keeps the rights that it loses.
    pub(super) fn serve_anew(&mut self, serving: Serving, reason: &str) {
        self.desk.grant(serving.rights);
        self.hidden = serving.hidden;
        // One that isn't there reads it when it starts.
        if let State::Runs(running) = &mut self.state
            && let Some(line) = &mut running.line
        {
            line.note(Note::Reload(reason.to_owned()));
            self.reloads = true;
        }
    }

    /// Sends a signal. A server that isn't there won't be started again.
    pub(super) fn signal(&mut self, signal: Signal) {
        match &mut self.state {
            State::Runs(running) => running.process.signal(signal),
            State::Pauses(_) => self.state = State::Ended(ExitStatus::default()),
            State::Ended(_) => {}
        }
    }

    /// Ends the process within [`PATIENCE`], even if it doesn't obey signals.
    pub(super) fn insist(&mut self) {
        if let State::Runs(running) = &mut self.state {
            running.insist();
        }
    }

    /// Starts it again after a pause, which this returns.
    pub(super) fn pause(&mut self) -> Duration {
        if self.begun.elapsed() > WELL {
            self.pause = PAUSE;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        self.state = State::Pauses(Instant::now() + pause);
        pause
    }

    /// Starts its process again.
    ///
    /// # Errors
    /// The kernel refuses another process.
    pub(super) fn start_again(&mut self, launch: &Launch) -> anyhow::Result<()> {
        self.state = run(launch, &self.part, &self.hidden, &self.desk)?;
        self.begun = Instant::now();
        Ok(())
    }

    /// The server, for a sentence of the log.
    pub(super) fn words(&self) -> String {
        match &self.part {
            Part::Whole | Part::Shared => "the server".to_owned(),
            Part::Admin => "the server of the admin listener".to_owned(),
            Part::Listener(name) => format!("the server of listener {name}"),
        }
    }
}

impl Running {
    async fn event(&mut self) -> anyhow::Result<Event> {
        loop {
            let stage = async {
                match &mut self.line {
                    Some(line) => line.stage().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = self.process.ended() => {
                    return Ok(Event::Ended(ended.context("can't learn how the server ended")?));
                }
                stage = stage => match stage {
                    Some(stage) => return Ok(Event::Stage(stage)),
                    // The process is about to end, or sends garbage: then it's of no use.
                    None => {
                        self.line = None;
                        self.insist();
                    }
                },
                () = reached(self.deadline) => {
                    self.process.signal(Signal::KILL);
                    self.deadline = None;
                }
            }
        }
    }

    fn insist(&mut self) {
        self.deadline = Some(Instant::now() + PATIENCE);
    }
}

fn run(launch: &Launch, part: &Part, hidden: &[String], desk: &Desk) -> anyhow::Result<State> {
    let (process, link) = launch.start(part, hidden)?;
    Ok(State::Runs(Box::new(Running {
        process,
        line: Some(desk.line(link)?),
        deadline: None,
    })))
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How a process died, for a sentence of the log; `None` if it ended by itself with a status.
pub(super) fn death(status: ExitStatus) -> Option<String> {
    status.signal().map(|signal| format!("signal {signal}"))
}
