//! One server: the start of its process, its events, and its restart after it died.

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

/// The time that the process gets to end after it has closed its link, or after a second signal. SIGKILL follows.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before the first restart of a server that died. Each further pause is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause before a restart.
const LONGEST: Duration = Duration::from_secs(30);

/// If a server ran for this long before it died, the pauses begin again with [`PAUSE`].
const WELL: Duration = Duration::from_secs(60);

/// A server and its desk.
pub(super) struct Server {
    part: Part,
    /// The environment variables that its process doesn't get.
    hidden: Vec<String>,
    desk: Desk,
    state: State,
    /// The start of its process.
    begun: Instant,
    /// The pause after its next death.
    pause: Duration,
    /// Whether it has been ready at some time.
    pub(super) was_ready: bool,
    /// Whether it got a reload and hasn't completed it.
    pub(super) reloads: bool,
    /// Whether the keeper ends this server alone, because the configuration no longer has its part.
    pub(super) leaves: bool,
}

enum State {
    Runs(Box<Running>),
    /// It died. The keeper starts it again at this time.
    Pauses(Instant),
    Ended(ExitStatus),
}

struct Running {
    process: Process,
    /// `None` once the server has closed it.
    line: Option<Line>,
    /// The time of SIGKILL.
    deadline: Option<Instant>,
}

/// An event of a server.
pub(super) enum Event {
    /// It reported a stage.
    Stage(Stage),
    /// Its process has ended.
    Ended(ExitStatus),
    /// The pause before its restart is over.
    Due,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// As for [`Launch::start`]; or the runtime can't watch the link.
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

    /// The status of its process; `None` before its end.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        match self.state {
            State::Ended(status) => Some(status),
            _ => None,
        }
    }

    /// Answers the server until its next event. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The kernel can't return the process's status.
    pub(super) async fn event(&mut self) -> anyhow::Result<Event> {
        match &mut self.state {
            State::Runs(running) => {
                let event = running.event().await?;
                if let Event::Ended(status) = &event {
                    self.state = State::Ended(*status);
                    // The next process reads the configuration at its start.
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

    /// Begins a reload of the server. It keeps its earlier rights until it has read the new configuration.
    pub(super) fn serve_anew(&mut self, serving: Serving, reason: &str) {
        self.desk.grant(serving.rights);
        self.hidden = serving.hidden;
        // Without a process there is nobody to notify: the next process reads the configuration at its start.
        if let State::Runs(running) = &mut self.state
            && let Some(line) = &mut running.line
        {
            line.note(Note::Reload(reason.to_owned()));
            self.reloads = true;
        }
    }

    /// Sends a signal to the process. A server in its pause ends instead.
    pub(super) fn signal(&mut self, signal: Signal) {
        match &mut self.state {
            State::Runs(running) => running.process.signal(signal),
            State::Pauses(_) => self.state = State::Ended(ExitStatus::default()),
            State::Ended(_) => {}
        }
    }

    /// Kills the process after [`PATIENCE`], if it hasn't ended until then.
    pub(super) fn insist(&mut self) {
        if let State::Runs(running) = &mut self.state {
            running.insist();
        }
    }

    /// Begins the pause before the restart, and returns its length.
    pub(super) fn pause(&mut self) -> Duration {
        if self.begun.elapsed() > WELL {
            self.pause = PAUSE;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        self.state = State::Pauses(Instant::now() + pause);
        pause
    }

    /// Starts another process.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub(super) fn start_again(&mut self, launch: &Launch) -> anyhow::Result<()> {
        self.state = run(launch, &self.part, &self.hidden, &self.desk)?;
        self.begun = Instant::now();
        Ok(())
    }

    /// The name of the server in the log.
    pub(super) fn name(&self) -> String {
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
                    return Ok(Event::Ended(ended.context("can't get the status of the server's process")?));
                }
                stage = stage => match stage {
                    Some(stage) => return Ok(Event::Stage(stage)),
                    // The process is about to end, or sends garbage and can't be used any more.
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

/// How a process died, for the log; `None` if it exited with a status.
pub(super) fn death(status: ExitStatus) -> Option<String> {
    status
        .signal()
        .map(|signal| format!("was killed by signal {signal}"))
}
